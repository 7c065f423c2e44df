"""One check-in: what is wanted first, what is recorded, and what follows from it. It must not know HTTP."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models.functions import Now

from . import examination as examinations
from . import judgement, mirrors, presence, protection, queueing, reports, restored, retrying, rows, states, texts
from .examination import Problem
from .exceptions import Invalid
from .locks import share_content
from .models import Endpoint, EndpointState, Operation, RepositoryContent, State
from .models.operations import LEASED
from .protection import Protected
from .reports import ReportedRepository
from .restored import SeenRevision

MAX_REPOSITORIES = 100
# Of a long mirrorlist the first ones are kept: pacman asks them in this order, and few ever get further.
MAX_MIRRORS = 20


@dataclass(frozen=True, kw_only=True)
class CheckIn:
    """What became of a report: `want` are digests to upload first; `recorded` is False for those and for an old seq.

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
    examination: Sequence[Problem] | None = None,
    revision_seen: SeenRevision | None = None,
    protected: Sequence[Protected] | None = None,
) -> CheckIn:
    """Record a report: state, history, repositories, holds, foreign packages, examination, last_seen (always), and what
    the endpoint protects.

    Judges an operation whose lease was lost while applying, and queues an automatic sync where the policy says so.
    A `revision_seen` that isn't here pauses the pool's automatic sync first. `endpoint` was just read, with pool and
    target. Raises Invalid, and NotFound when the endpoint was deleted.
    """
    reports.checked_seq(seq)
    holds = texts.patterns(list(holds), field="holds")
    replaced = texts.patterns(list(replaced), field="replaced")
    texts.line(agent_version, field="agent_version", maximum=32, empty=True)
    reported = _checked(repositories)
    problems = None if examination is None else examinations.checked(examination)
    restored.notice(endpoint, revision_seen)
    presence.notice_return(endpoint)
    operation = _active(endpoint)
    guarded = None if protected is None else protection.checked(protected)
    said = {"holds": holds, "agent_version": agent_version, "examination": problems, "protected": guarded}
    if _is_unchanged(endpoint, operation, state, reported, said) and _touch(endpoint, seq):
        return CheckIn(recorded=True, want=(), endpoint=endpoint, operation=_offered(operation))
    with transaction.atomic():
        endpoint = rows.lock_endpoint(endpoint)
        share_content()
        wanted = want(endpoint, state, reported)
        if wanted:
            Endpoint.objects.filter(pk=endpoint.pk).update(last_seen=Now())
            return CheckIn(recorded=False, want=wanted, endpoint=endpoint, operation=_offered(_active(endpoint)))
        recorded = reports.record(
            endpoint,
            seq=seq,
            state=state,
            cause=EndpointState.Cause.REPORT,
            reported=reported,
            replaced=replaced,
            **said,
        )
        if recorded:
            _follow_up(endpoint, state)
    return CheckIn(recorded=recorded, want=(), endpoint=endpoint, operation=_offered(_active(endpoint)))


def _active(endpoint: Endpoint) -> Operation | None:
    return Operation.objects.with_names().filter(endpoint=endpoint).active().annotate(waits=retrying.WAITS).first()


def _offered(operation: Operation | None) -> Operation | None:
    """The operation if the endpoint is to carry it out now."""
    return None if operation is None or getattr(operation, "waits", False) else operation


def _is_unchanged(
    endpoint: Endpoint,
    operation: Operation | None,
    state: str,
    reported: Sequence[ReportedRepository],
    said: Mapping[str, object],
) -> bool:
    """Whether the report says only that the endpoint is there, as nearly all do, and nothing can follow from it.

    `said` are the values that the endpoint's columns of these names would get.
    """
    if state != endpoint.state_id or any(getattr(endpoint, field) != value for field, value in said.items()):
        return False
    target = endpoint.pool.target if endpoint.pool and endpoint.pool.auto_sync else None
    if (target and target.state_id != state) or (operation and operation.status in LEASED):
        return False
    return reports.has_repositories(endpoint, reported)


def _touch(endpoint: Endpoint, seq: int) -> bool:
    """Note an unchanged report without a lock; False for an old one, or when another came in between."""
    if seq <= endpoint.report_seq:
        return False
    same = Endpoint.objects.filter(pk=endpoint.pk, report_seq=endpoint.report_seq, state=endpoint.state_id)
    if not same.update(report_seq=seq, last_seen=Now()):
        return False
    endpoint.report_seq = seq
    return True


def _follow_up(endpoint: Endpoint, state: str) -> None:
    if not examinations.may_be_half_way(endpoint):  # its agent may still finish what it began
        judgement.judge_lost(endpoint, state)
    queueing.queue_automatic(Endpoint.objects.with_target().get(pk=endpoint.pk))


def want(endpoint: Endpoint, state: str, reported: Sequence[ReportedRepository]) -> tuple[str, ...]:
    """The digests that aren't known, the state's first. What the endpoint itself is in is known without a look."""
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
    if len(reported) > MAX_REPOSITORIES:
        raise Invalid(f"repositories: more than {MAX_REPOSITORIES}.", field="repositories")
    if len({repository.name for repository in reported}) != len(reported):
        raise Invalid("repositories: a name is listed twice.", field="repositories")
    for repository in reported:
        texts.line(repository.name, field="repositories.name", maximum=255)
        for mirror in repository.mirrors:
            texts.line(mirror, field="repositories.mirrors", maximum=2000)
    return [
        ReportedRepository(name=row.name, digest=row.digest, mirrors=_public(row.mirrors[:MAX_MIRRORS]))
        for row in reported
    ]


def _public(urls: Sequence[str]) -> tuple[str, ...]:
    return tuple(url for mirror in urls if (url := mirrors.public(mirror)))
