"""One check-in: what has to be uploaded first, what is recorded, and what follows. It must not know HTTP."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from . import (
    endpoint_presence,
    leases,
    limits,
    mirrors,
    paused_automatic_sync,
    protection,
    queueing,
    reporting_endpoint,
    reports,
    restored_database,
    retries,
    row_locks,
    shared_tokens,
    states,
    text_input,
    trusted_keys,
)
from . import examination as examinations
from .content_lock import share_content
from .examination import ExaminationProblem
from .exceptions import Conflict, Invalid
from .models import Endpoint, EndpointState, Operation, RepositoryContent, State
from .protection import ProtectedPackages
from .reports import ReportedRepository
from .restored_database import SeenRevision
from .status import EndpointStatus


@dataclass(frozen=True, kw_only=True)
class CheckIn:
    """What became of a report: `want` lists digests to upload first; `recorded` is False for those and for an old seq.

    `endpoint` is as it is now, with pool and target; `operation` is its active one, unless that waits for its next try.
    """

    recorded: bool
    want: tuple[str, ...]
    endpoint: Endpoint
    operation: Operation | None


def check_in(
    *,
    endpoint: Endpoint,
    seq: int,
    state: str,
    repositories: Sequence[ReportedRepository],
    holds: Sequence[str],
    agent_version: str,
    replaced: Sequence[str] = (),
    examination: Sequence[ExaminationProblem] | None = None,
    revision_seen: SeenRevision | None = None,
    protected: Sequence[ProtectedPackages] | None = None,
    previous_seq: int | None = None,
    signing: Mapping[str, Any] | None = None,
) -> CheckIn:
    """Record a report of `endpoint`, which was just read with its pool and target; `last_seen` is always set.

    `state` is a digest. Duplicates in `holds` and `replaced` are ignored. `examination` and `protected` are None if the
    agent reported nothing about them; `signing` are the arguments of `trusted_keys.checked`, None if it follows every
    target. Raises Invalid, and NotFound if the endpoint was deleted.
    The report decides an operation whose lease ran out while applying, and queues the automatic sync that the policy
    wants. A `revision_seen` that isn't here pauses the pool's automatic sync first. `previous_seq` is the number of the
    agent's report before this one (`shared_tokens`). Of an endpoint that waits for an approval nothing is recorded.
    """
    seq = reports.checked_seq(seq)
    replaced = text_input.patterns(list(replaced), field="replaced")
    reported = _checked(repositories)
    fields = {
        "holds": text_input.patterns(list(holds), field="holds"),
        "agent_version": _checked_version(agent_version),
        "examination": None if examination is None else examinations.checked(examination),
        "protected": None if protected is None else protection.checked(protected),
        "signing": None if signing is None else trusted_keys.checked(**signing),
    }
    if endpoint.awaits_approval:
        endpoint_presence.seen(endpoint)
        return CheckIn(recorded=False, want=(), endpoint=endpoint, operation=None)
    restored_database.notice(endpoint, revision_seen)
    shared_tokens.notice(endpoint, seq=seq, previous_seq=previous_seq)
    endpoint_presence.notice_return(endpoint)
    operation = _active(endpoint) if endpoint.also_read is None or endpoint.also_read.has_operation else None
    if _is_unchanged(endpoint, operation, state, reported, fields) and _touch(endpoint, seq):
        return CheckIn(recorded=True, want=(), endpoint=endpoint, operation=_offered(endpoint, operation))
    return _record(endpoint, seq, state, reported, replaced, fields)


def _checked_version(text: str) -> str:
    return text_input.line(text, field="agent_version", maximum=limits.AGENT_VERSION_LENGTH, empty=True)


def _record(
    endpoint: Endpoint,
    seq: int,
    state: str,
    reported: Sequence[ReportedRepository],
    replaced: Sequence[str],
    fields: Mapping[str, Any],
) -> CheckIn:
    """Write the report down with the endpoint's row locked, and do what follows from it."""
    with transaction.atomic():
        token_hash, endpoint = endpoint.token_hash, row_locks.lock_endpoint(endpoint)
        if endpoint.token_hash != token_hash:
            raise Conflict("The endpoint's token was replaced while this report came in.")
        share_content()
        wanted = want(endpoint, state, reported)
        if wanted:
            Endpoint.objects.filter(pk=endpoint.pk).update(last_seen=Now())
            return CheckIn(
                recorded=False, want=wanted, endpoint=endpoint, operation=_offered(endpoint, _active(endpoint))
            )
        cause, before = EndpointState.Cause.REPORT, endpoint.state_id
        recorded = reports.record(
            endpoint, seq=seq, state=state, cause=cause, reported=reported, replaced=replaced, **fields
        )
        if recorded:
            if state != before:
                paused_automatic_sync.notice_rollback(endpoint)
            _follow_up(endpoint, state)
    return CheckIn(recorded=recorded, want=(), endpoint=endpoint, operation=_offered(endpoint, _active(endpoint)))


def _active(endpoint: Endpoint) -> Operation | None:
    return Operation.objects.with_names().filter(endpoint=endpoint).active().annotate(waits=retries.WAITS).first()


def _offered(endpoint: Endpoint, operation: Operation | None) -> Operation | None:
    """The operation if the endpoint is to carry it out now. With one token in two machines none of them is to."""
    if operation is None or getattr(operation, "waits", False):
        return None
    return operation if endpoint.token_shared is None or operation.is_claimed else None


def _is_unchanged(
    endpoint: Endpoint,
    operation: Operation | None,
    state: str,
    reported: Sequence[ReportedRepository],
    fields: Mapping[str, object],
) -> bool:
    """Whether the report says only that the endpoint is there, as nearly all do, and nothing can follow from it.

    `fields` has the values that the endpoint's columns of these names would get.
    """
    if state != endpoint.state_id or any(getattr(endpoint, field) != value for field, value in fields.items()):
        return False
    if _may_be_synced(endpoint) or (operation and operation.is_claimed):
        return False
    return reports.has_repositories(endpoint, reported)


def _may_be_synced(endpoint: Endpoint) -> bool:
    """Whether the pool's policy may want a sync (`apps.fleet.automatic`), by what was read with the endpoint."""
    pool, read = endpoint.pool, endpoint.also_read
    if pool is None or not pool.auto_sync or pool.target is None or pool.target.state_id == endpoint.state_id:
        return False
    if pool.paused_since is not None or pool.target_needs_approval or endpoint.token_shared is not None:
        return False
    if not trusted_keys.follows(endpoint, pool.target):
        return False
    # A machine with held or foreign packages can be in sync without being in exactly the target's state.
    in_sync = read is not None and read.verdict == EndpointStatus.IN_SYNC
    return not in_sync or examinations.databases_unreadable(endpoint)


def _touch(endpoint: Endpoint, seq: int) -> bool:
    """Note an unchanged report without a lock; False for an old one, or when another came in between."""
    if seq <= endpoint.report_seq or not reporting_endpoint.touch(endpoint, seq):
        return False
    endpoint.report_seq = seq
    return True


def _follow_up(endpoint: Endpoint, state: str) -> None:
    if not examinations.may_be_half_way(endpoint):  # its agent may still finish what it began
        leases.decide_by_report(endpoint, state)
    queueing.queue_automatic(Endpoint.objects.with_target().get(pk=endpoint.pk))


def want(endpoint: Endpoint, state: str, reported: Sequence[ReportedRepository]) -> tuple[str, ...]:
    """The digests that aren't known, the state's first. The endpoint's own state is known without a query."""
    wanted = []
    if state != endpoint.state_id and not State.objects.filter(pk=state).exists():
        wanted.append(state)
    digests = {repository.digest for repository in reported}
    known: set[str] = set()
    for chunk in states.chunks(sorted(digests)):
        known.update(RepositoryContent.objects.filter(pk__in=chunk).values_list("pk", flat=True))
    return (*wanted, *sorted(digests - known))


def _checked(reported: Sequence[ReportedRepository]) -> list[ReportedRepository]:
    """The repositories with their first mirrors, without credentials. Raises Invalid (a name twice, …)."""
    if len(reported) > limits.REPOSITORIES:
        raise Invalid(f"repositories: more than {limits.REPOSITORIES}.", field="repositories")
    if len({repository.name for repository in reported}) != len(reported):
        raise Invalid("A repository's name may come once.", field="repositories")
    for repository in reported:
        text_input.line(repository.name, field="repositories.name", maximum=limits.REPOSITORY_NAME_LENGTH)
        for mirror in repository.mirrors:
            text_input.line(mirror, field="repositories.mirrors", maximum=limits.MIRROR_LENGTH)
    return [
        ReportedRepository(name=row.name, digest=row.digest, mirrors=_public(row.mirrors[: limits.MIRRORS_KEPT]))
        for row in reported
    ]


def _public(urls: Sequence[str]) -> tuple[str, ...]:
    return tuple(url for mirror in urls if (url := mirrors.public(mirror)))
