"""Writes what an endpoint reported: state, history, repositories, foreign packages.

The caller has locked the endpoint's row and shares the content lock. It must not know leases, policies, or HTTP.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models.functions import Now

from . import report_numbers, repositories, states, time_limit
from .alpm.state import InstalledPackage
from .exceptions import Invalid
from .models import Endpoint, EndpointRepository, EndpointState, Operation, OperationStatus, State


@dataclass(frozen=True, kw_only=True)
class ReportedRepository:
    """One repository as reported: `mirrors` are base URLs with $repo and $arch replaced."""

    name: str
    digest: str
    mirrors: tuple[str, ...] = ()


def checked_seq(seq: int) -> int:
    """The number of a report (1 to 2^63 - 1), or the highest that counts now (`report_numbers`). Raises Invalid."""
    if not isinstance(seq, int) or isinstance(seq, bool) or not 1 <= seq < 2**63:
        raise Invalid("seq must be a whole number from 1 to 2^63 - 1.", field="seq")
    return report_numbers.bounded(seq)


def record(
    endpoint: Endpoint,
    *,
    seq: int,
    state: str,
    cause: str,
    reported: Sequence[ReportedRepository] | None = None,
    replaced: Collection[str] = (),
    **fields: Any,
) -> bool:
    """Write a report down unless it is an old one; whether it was written.

    `reported` None leaves the repositories as they are; `replaced` lists installed names that pacman would replace by
    others of these repositories, so they aren't foreign; `fields` are further columns of the endpoint. A repeat of the
    last report counts as written.
    """
    if seq <= endpoint.report_seq:
        Endpoint.objects.filter(pk=endpoint.pk).update(last_seen=Now())
        return seq == endpoint.report_seq and state == endpoint.state_id
    moved = state != endpoint.state_id
    before = _Before.of(endpoint)
    if moved:
        place = report_numbers.in_history(endpoint, seq)
        EndpointState.objects.create(endpoint=endpoint, seq=place, state_id=state, cause=cause)
    resourced = reported is not None and _replace_repositories(endpoint, reported)
    known = _managed(endpoint) if reported is None and moved else set(replaced)
    endpoint.state_id, endpoint.report_seq = state, seq
    if moved or resourced:
        without_repository = [name for name in foreign(endpoint) if name not in known]
        fields["dropped"] = before.dropped(endpoint, without_repository)
        fields["foreign"] = [name for name in without_repository if name not in fields["dropped"]]
    Endpoint.objects.filter(pk=endpoint.pk).update(report_seq=seq, state=state, last_seen=Now(), **fields)
    endpoint.refresh_from_db()
    return True


@dataclass(frozen=True)
class _Before:
    """What was known about an endpoint before a report. What was not foreign then is dropped now, and not foreign.

    So a machine that refreshed its databases and one that didn't judge the same packages in the same way.
    """

    state: str | None
    foreign: frozenset[str]

    @classmethod
    def of(cls, endpoint: Endpoint) -> "_Before":
        return cls(endpoint.state_id, frozenset(endpoint.foreign))

    def dropped(self, endpoint: Endpoint, names: Collection[str]) -> list[str]:
        """Those of these installed names that a repository had: exactly this build was there before and not foreign."""
        before = State.objects.filter(pk=self.state).first() if names and self.state else None
        if before is None:
            return []
        known = {_build(package) for package in states.load(before) if package.name not in self.foreign}
        now = {package.name: package for package in states.load(State.objects.get(pk=endpoint.state_id))}
        return [name for name in names if _build(now[name]) in known]


def _build(package: InstalledPackage) -> tuple[str, str, str]:
    return package.name, package.version, package.arch


def _managed(endpoint: Endpoint) -> set[str]:
    """The installed names that aren't foreign: the result of an operation makes none of them so."""
    if endpoint.state is None:
        return set()
    return {package.name for package in states.load(endpoint.state)} - set(endpoint.foreign)


def has_repositories(endpoint: Endpoint, reported: Sequence[ReportedRepository]) -> bool:
    """Whether these are the endpoint's repositories already, in this order. One query, or none (`also_read`)."""
    read = endpoint.also_read
    known = read.repositories if read else list(endpoint.repositories.values_list("name", "content_id", "mirrors"))
    return known == [(repository.name, repository.digest, list(repository.mirrors)) for repository in reported]


def _replace_repositories(endpoint: Endpoint, reported: Sequence[ReportedRepository]) -> bool:
    """Keep the repositories in pacman's order; whether anything was different."""
    if has_repositories(endpoint, reported):
        return False
    endpoint.repositories.all().delete()
    EndpointRepository.objects.bulk_create(
        EndpointRepository(
            endpoint=endpoint,
            position=position,
            name=repository.name,
            content_id=repository.digest,
            mirrors=list(repository.mirrors),
        )
        for position, repository in enumerate(reported)
    )
    return True


def foreign(endpoint: Endpoint) -> list[str]:
    """The installed names that none of the endpoint's repositories offers and that no operation brought, sorted.

    A name in the pool's target isn't foreign either; the readers take it out (`goals.foreign_to`), because targets
    change without a report.
    """
    offered: set[str] = set()
    for digest in endpoint.repositories.values_list("content_id", flat=True):
        time_limit.check()
        offered |= repositories.names(digest)
    installed = {package.name for package in states.load(State.objects.get(pk=endpoint.state_id))}
    unknown = installed - offered
    return sorted(unknown - brought(endpoint)) if unknown else []


def brought(endpoint: Endpoint) -> set[str]:
    """The names that operations of this endpoint brought: one from a newer snapshot is in none of its own repositories.

    The last operation that succeeded left its whole target. Later ones that began and didn't succeed may have left
    parts of theirs. What was foreign to the endpoint when they were queued stays foreign.
    """
    names: set[str] = set()
    for operation in Operation.objects.filter(endpoint=endpoint).applied().select_related("target_state")[:20]:
        target = {package.name for package in states.load(operation.target_state)}
        names |= target - set(operation.foreign)
        if operation.status == OperationStatus.SUCCEEDED:
            break
    return names
