"""Finds what in the fleet isn't as it should be, and words it, kind by kind. It writes nothing, and knows no HTTP.

One item is about one endpoint, or about those of one pool that are alike. It must not know which items are shown.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime

from django.db.models import Count, Min, OuterRef, Q, Subquery

from . import approval, expiring_tokens, reasons, shared_tokens
from .attention_items import AttentionKind, Item
from .fleet_statuses import Group
from .fleet_survey import Failure, Survey
from .key_lists import IsAmong, joined
from .models import ChecksumConflict, Endpoint, EndpointState, OperationStatus, Pool
from .plural import listed
from .pool_alarms import Alarm
from .reasons import Unknown
from .status import EndpointStatus, differences

# The same in more pools than these is one item for the fleet: else it would push all else out of the list.
POOLS_APART = 3
_CAUSE_LENGTH = 200


# How the operation ended since which automatic sync rests.
_ENDED = {
    "failed": "failed",
    "cancelled": "was cancelled",
    "lost": "was lost",
    "reverted": "was reverted",
    "rolled_back": "was rolled back on the machine",
}
_ALARMS = {
    Alarm.UNKNOWN_REVISION: AttentionKind.UNKNOWN_REVISION,
    Alarm.REVOKED_SOURCE: AttentionKind.REVOKED_SOURCE,
    Alarm.UNAPPROVED_TARGET: AttentionKind.UNAPPROVED_TARGET,
}


def find(survey: Survey) -> list[Item]:
    """All of them, in no order. A bounded number of queries."""
    return [
        *_alarms(survey),
        *_shared(survey),
        *_checksums(survey),
        *_failures(survey),
        *_diverged(survey),
        *_files(survey),
        *_unreadable(survey),
        *_waiting(survey),
        *_misplaced(survey),
        *_offline(survey),
        *_resting(survey),
        *expiring_tokens.items(),
    ]


def _alarms(survey: Survey) -> Iterable[Item]:
    for pk, alarms in survey.alarms.items():
        pool = survey.pools[pk]
        since = {
            Alarm.UNKNOWN_REVISION: pool.paused_since,
            Alarm.UNAPPROVED_TARGET: pool.target.created if pool.target else None,
        }
        for alarm in alarms:
            kind, began = _ALARMS[alarm.alarm], since.get(alarm.alarm)
            yield Item(kind=kind, object=f"pool:{pool.name}", cause=alarm.text, since=began, pool=pool.name)


def _shared(survey: Survey) -> Iterable[Item]:
    for pool, count, name, since in _marked(shared_tokens.SHARED, "token_shared"):
        cause = f"More than one machine reports as {name}, with the same token, so no operation starts there."
        if count > 1:
            cause = f"More than one machine reports as {name}, and as {count - 1} more; no operation starts there."
        yield _of_marked(survey, AttentionKind.SHARED, pool, count, name, cause, since)


def _waiting(survey: Survey) -> Iterable[Item]:
    for pool, count, name, since in _marked(approval.AWAITING, "created"):
        more, wait = (f" and {count - 1} more", "wait") if count > 1 else ("", "waits")
        cause = f"{name}{more} enrolled and {wait} for an operator's approval."
        yield _of_marked(survey, AttentionKind.AWAITS_APPROVAL, pool, count, name, cause, since)


def _marked(which: Q, since: str) -> list[tuple[int | None, int, str, datetime]]:
    """(pool, endpoints, the first name, since when) of the endpoints that a column marks. One query."""
    rows = Endpoint.objects.filter(which).order_by("pool").values_list("pool")
    return list(rows.annotate(count=Count("pk"), first=Min("name"), since=Min(since)))


def _of_marked(
    survey: Survey, kind: AttentionKind, pool: int | None, count: int, name: str, cause: str, since: datetime
) -> Item:
    one = name if count == 1 else None
    return Item(
        kind=kind,
        object=_object(survey, pool, one),
        cause=cause,
        since=since,
        count=count,
        pool=_pool_name(survey, pool),
        endpoint=one,
    )


def _checksums(survey: Survey) -> Iterable[Item]:
    """Current targets that hold a file under a package version that the fleet has another file for, too."""
    targets = {f"{pool.name} #{pool.target.number}": pool for pool in survey.pools.values() if pool.target}
    found: dict[str, list[ChecksumConflict]] = defaultdict(list)
    for conflict in ChecksumConflict.objects.order_by("since"):
        for name in {revision for file in conflict.files for revision in file["revisions"]} & targets.keys():
            found[name].append(conflict)
    for name, conflicts in sorted(found.items()):
        pool, packages = targets[name].name, [f"{one.name} {one.version}" for one in conflicts]
        yield Item(
            kind=AttentionKind.CHECKSUMS,
            object=f"pool:{pool}",
            cause=f"The fleet has more than one file for {listed(packages)}, which target {name} holds.",
            since=conflicts[0].since,
            pool=pool,
        )


def _failures(survey: Survey) -> Iterable[Item]:
    by_pool: dict[tuple[AttentionKind, int | None], list[Failure]] = defaultdict(list)
    for failure in survey.failures:
        kind = AttentionKind.LOST if failure.status == OperationStatus.LOST else AttentionKind.FAILED
        by_pool[kind, failure.pool].append(failure)
    for (kind, pool), failures in by_pool.items():
        newest, cause = failures[0], _first_line(failures[0])
        if len(failures) > 1:
            cause = (
                f"{len(failures)} operations {'were lost' if kind == AttentionKind.LOST else 'failed'}, the newest on "
            )
            cause += f"{newest.name}: {_first_line(newest)}"
        one = newest if len(failures) == 1 else None
        yield Item(
            kind=kind,
            object=_object(survey, pool, one.name if one else None),
            cause=cause,
            since=failures[-1].finished,
            count=len(failures),
            pool=_pool_name(survey, pool),
            endpoint=one.name if one else None,
            operation=one.operation if one else None,
        )


def _first_line(failure: Failure) -> str:
    """The cause: the first line of what was said, at most 200 characters."""
    said = (failure.message.strip().splitlines() or [""])[0] or failure.code.replace("_", " ")
    return said if len(said) <= _CAUSE_LENGTH else f"{said[: _CAUSE_LENGTH - 1]}…"


def _diverged(survey: Survey) -> Iterable[Item]:
    by_pool = _grouped(group for group in survey.groups if group.status == EndpointStatus.DIVERGED)
    since = _since_in_state([group for groups in by_pool.values() for group in groups])
    alone = {pool: groups[0].first for pool, groups in by_pool.items() if _count(groups) == 1}
    counts = _differences(alone.values()) if len(by_pool) <= POOLS_APART else {}
    for pool, groups in by_pool.items():
        target = _target_number(survey, pool)
        cause = (
            f"{_endpoints(groups)} {_have(groups)} diverged from target #{target}: neither behind it nor ahead of it."
        )
        if pool in alone and alone[pool] in counts:
            cause = reasons.beside_target(counts[alone[pool]], target)
        yield _item(survey, AttentionKind.DIVERGED, pool, groups, cause, since.get(pool))


def _differences(names: Iterable[str]) -> dict[str, Mapping[str, int]]:
    endpoints = list(Endpoint.objects.filter(name__in=list(names)))
    found = differences(endpoints)
    return {endpoint.name: found[endpoint.pk] for endpoint in endpoints if endpoint.pk in found}


def _since_in_state(groups: list[Group]) -> dict[int | None, datetime]:
    """When the first diverged endpoint of each pool came into its state; not before the target was set."""
    if not groups:
        return {}
    entry = EndpointState.objects.filter(endpoint=OuterRef("pk"), state=OuterRef("state")).order_by("-seq")
    diverged = Endpoint.objects.filter(IsAmong(joined(group.diverged for group in groups))).order_by()
    rows = diverged.values_list("pool", "pool__target__created").annotate(first=Min(Subquery(entry.values("at")[:1])))
    return {pool: max(first, target_set or first) for pool, target_set, first in rows if first is not None}


def _files(survey: Survey) -> Iterable[Item]:
    for pool, groups in _grouped(group for group in survey.groups if group.files_differ).items():
        cause = f"{_endpoints(groups)} {_have(groups)} files that differ from their packages."
        yield _item(survey, AttentionKind.FILES_DIFFER, pool, groups, cause, None)


def _unreadable(survey: Survey) -> Iterable[Item]:
    for pool, groups in _unknown(survey, Unknown.DATABASES_UNREADABLE):
        cause = f"{_endpoints(groups)} can't read a sync database, so no sync starts there."
        yield _item(survey, AttentionKind.DATABASES_UNREADABLE, pool, groups, cause, None)


def _misplaced(survey: Survey) -> Iterable[Item]:
    for pool, groups in _unknown(survey, Unknown.OTHER_ARCHITECTURE):
        cause = (
            f"{_endpoints(groups)} can't have target #{_target_number(survey, pool)}: it is for another architecture."
        )
        yield _item(survey, AttentionKind.OTHER_ARCHITECTURE, pool, groups, cause, None)


def _unknown(survey: Survey, why: Unknown) -> Iterable[tuple[int | None, list[Group]]]:
    return _grouped(group for group in survey.groups if group.unknown == why).items()


def _offline(survey: Survey) -> Iterable[Item]:
    for pool, groups in _grouped(group for group in survey.groups if group.status == EndpointStatus.OFFLINE).items():
        cause = f"{_endpoints(groups)} {_have(groups)} not been heard from for three poll intervals."
        yield _item(survey, AttentionKind.OFFLINE, pool, groups, cause, min(group.since for group in groups))


def _resting(survey: Survey) -> Iterable[Item]:
    failed = {failure.name for failure in survey.failures}
    by_pool = defaultdict(list)
    for rest in survey.rests:
        if rest.name not in failed:
            by_pool[rest.pool].append(rest)
    for pool, rests in by_pool.items():
        rests.sort(key=lambda rest: rest.resting.since)
        one = rests[0].name if len(rests) == 1 else None
        names = listed(sorted(rest.name for rest in rests))
        how = " or ".join(words for why, words in _ENDED.items() if any(rest.resting.why == why for rest in rests))
        yield Item(
            kind=AttentionKind.RESTING,
            object=_object(survey, pool, one),
            cause=f"The last operation to this target {how}, so automatic sync rests for {names}.",
            since=rests[0].resting.since,
            count=len(rests),
            pool=_pool_name(survey, pool),
            endpoint=one,
        )


def _item(
    survey: Survey, kind: AttentionKind, pool: int | None, groups: list[Group], cause: str, since: datetime | None
) -> Item:
    one = groups[0].first if _count(groups) == 1 else None
    return Item(
        kind=kind,
        object=_object(survey, pool, one),
        cause=cause,
        since=since,
        count=_count(groups),
        pool=_pool_name(survey, pool),
        endpoint=one,
    )


def _grouped(groups: Iterable[Group]) -> dict[int | None, list[Group]]:
    found: dict[int | None, list[Group]] = defaultdict(list)
    for group in sorted(groups, key=lambda group: group.first):
        found[group.pool].append(group)
    return found


def _endpoints(groups: list[Group]) -> str:
    """`m1`, or `m1 and 3 more`: as many names as are known without reading every endpoint."""
    more = _count(groups) - 1
    return f"{groups[0].first} and {more} more" if more else groups[0].first


def _count(groups: Iterable[Group]) -> int:
    return sum(group.count for group in groups)


def _have(groups: Iterable[Group]) -> str:
    return "has" if _count(groups) == 1 else "have"


def _pool_name(survey: Survey, pool: int | None) -> str | None:
    return survey.pools[pool].name if pool in survey.pools else None


def _target_number(survey: Survey, pool: int | None) -> int:
    found: Pool | None = survey.pools.get(pool or 0)
    return found.target.number if found and found.target else 0


def _object(survey: Survey, pool: int | None, endpoint: str | None) -> str:
    if endpoint is not None:
        return f"endpoint:{endpoint}"
    name = _pool_name(survey, pool)
    return f"pool:{name}" if name else "fleet"
