"""What an operator should look at in a pool, derived when it is asked for. It writes nothing, and knows no HTTP.

docs/fleet.md explains each alarm.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from django.db.models import Case, F, Max, Q, When
from django.db.models.functions import Coalesce

from . import audit
from .models import Pool, TargetRevision

_BY_ENDPOINT = "endpoint:"


class Alarm(StrEnum):
    """`revoked_source`: the target comes from an endpoint whose token was revoked since, or that is gone.

    `unknown_revision`: an endpoint has seen a revision that isn't here; automatic sync is paused.
    `unapproved_target`: an endpoint set the target; automatic sync, which is on, waits for an operator.
    """

    REVOKED_SOURCE = "revoked_source"
    UNKNOWN_REVISION = "unknown_revision"
    UNAPPROVED_TARGET = "unapproved_target"


@dataclass(frozen=True, kw_only=True)
class PoolAlarm:
    """One alarm: cause first, then what to do. `revision_before` is the newest to go back to: its source is trusted."""

    alarm: Alarm
    text: str
    endpoint: str | None = None
    revision_before: int | None = None


def of(pools: Iterable[Pool]) -> dict[int, list[PoolAlarm]]:
    """The alarms of each pool by its primary key. At most two queries; `pools` are read with their target."""
    pools = list(pools)
    found = {pool.pk: [*_unknown_revision(pool), *_unapproved(pool)] for pool in pools}
    revoked = _revoked_sources(pool.target_id for pool in pools if pool.target_id)
    before = _revisions_before(revoked) if revoked else {}
    for key, target in revoked.items():
        source = target.source_endpoint
        alarm = PoolAlarm(
            alarm=Alarm.REVOKED_SOURCE,
            text=_revoked_source(target),
            endpoint=source.name if source else None,
            revision_before=before.get(key),
        )
        found[key].insert(0, alarm)
    return found


def counts() -> dict[str, int]:
    """How many pools have each alarm; every alarm is there, even with 0."""
    found = dict.fromkeys((alarm.value for alarm in Alarm), 0)
    pools = Pool.objects.select_related("target").defer("target__unmanaged", "target__repositories")
    for alarms in of(pools.filter(target__isnull=False) | pools.filter(paused_since__isnull=False)).values():
        for alarm in alarms:
            found[alarm.alarm] += 1
    return found


def _unknown_revision(pool: Pool) -> Iterable[PoolAlarm]:
    seen = pool.paused_by
    if seen is None:
        return
    current = f"this server's target is #{pool.target.number}" if pool.target else "this server has no target"
    text = (
        f"Automatic sync is paused: endpoint {seen['endpoint']} has seen target #{seen['number']}, which isn't here "
        f"({current}). The database was probably restored from a backup. Look at the target, set another one if it is "
        "too old, and confirm it."
    )
    yield PoolAlarm(alarm=Alarm.UNKNOWN_REVISION, text=text, endpoint=seen["endpoint"])


def _unapproved(pool: Pool) -> Iterable[PoolAlarm]:
    target = pool.target
    if target is not None and pool.auto_sync and pool.target_needs_approval:
        text = (
            f"Target #{target.number} was set by {audit.display_name(target.author)} and waits for an operator's "
            "approval: automatic sync brings nobody to it."
        )
        yield PoolAlarm(alarm=Alarm.UNAPPROVED_TARGET, text=text, endpoint=_setter(target))


def _setter(target: TargetRevision) -> str | None:
    return target.author.removeprefix(_BY_ENDPOINT) if target.author.startswith(_BY_ENDPOINT) else None


# Revisions whose source is trusted. What an operator went back to or promoted since a revocation is a decision.
_TRUSTED = (
    Q(source_endpoint__token_hash__isnull=False)
    | Q(source_endpoint__revoked__lt=F("created"))
    | (Q(source_endpoint__isnull=True) & ~Q(author__startswith=_BY_ENDPOINT))
)


def _revoked_sources(targets: Iterable[int]) -> dict[int, TargetRevision]:
    """Those of these revisions (primary keys) whose source isn't trusted, by their pool's primary key."""
    rows = TargetRevision.objects.alias(trusted=Case(When(_TRUSTED, then=True), default=False))
    found = rows.filter(pk__in=list(targets), trusted=False).select_related("source_endpoint")
    return {row.pool_id: row for row in found.only("pool_id", "number", "author", "source_endpoint__name")}


def _revoked_source(target: TargetRevision) -> str:
    """The alarm's text."""
    setter, source = _setter(target), target.source_endpoint
    then = "Go back to a revision before it, or set the target from another endpoint."
    if source is None:
        return f"Target #{target.number} was set by endpoint {setter}, which was forgotten. {then}"
    how = "set by" if setter == source.name else "made from"
    return f"Target #{target.number} was {how} endpoint {source.name}, whose token was revoked. {then}"


def _revisions_before(pools: Iterable[int]) -> dict[int, int]:
    """The newest earlier revision of each pool whose source is trusted; an approved one, if there is any."""
    earlier = TargetRevision.objects.filter(_TRUSTED, pool__in=list(pools), number__lt=F("pool__target__number"))
    newest = Coalesce(Max("number", filter=Q(approved=True)), Max("number"))
    return dict(earlier.order_by().values_list("pool").annotate(newest=newest))
