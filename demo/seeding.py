"""Writes a fleet to an empty database: pools with their past targets, machines with their history.

Pools, targets and their sources go through the functions of the fleet. The other machines are written in batches. It
must not know what happens to the fleet afterwards.
"""

import functools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple

from django.db import transaction

from apps.fleet import audit, clock, difference, endpoint_manager, pool_manager
from apps.fleet.examination import UNREADABLE, ExaminationProblem
from apps.fleet.models import (
    AuditEvent,
    Endpoint,
    EndpointRepository,
    EndpointState,
    Operation,
    OperationKind,
    OperationStatus,
    Pool,
    TargetRevision,
)
from apps.fleet.queueing import DEADLINE
from apps.fleet.tokens import ENDPOINT
from apps.fleet.tokens import new as new_token
from demo import packages, past
from demo.machines import Fare, Fleet, Machine, PoolPlan
from demo.rows import Repositories, States

TARGET_DAYS = (-17, -11, -6, -2)
"""The days of each pool's targets, oldest first. A target has the packages that the repositories offered that day."""
AGENT = "1.0.0"
PEOPLE = ("user:ada", "user:grace", "user:linus")
_BATCH = 250


class Seeded(NamedTuple):
    """A machine in the database, with the token of its agent."""

    machine: Machine
    token: str


def seed(fleet: Fleet, days: tuple[int, ...] = TARGET_DAYS) -> Iterator[Seeded]:
    """Write the fleet, and yield each machine once it is written.

    The database has to be migrated, without pools and endpoints. With fewer `days`, each machine has fewer states.
    """
    repositories = Repositories()
    pools = {name: _pool(name, kind) for name, kind in fleet.pool_plans()}
    sources: dict[str, Seeded] = {}
    for machine in fleet.machines():
        if machine.pool and machine.pool not in sources:
            _, token = endpoint_manager.enroll(code=_code(pools[machine.pool]), name=machine.name, arch=packages.ARCH)
            sources[machine.pool] = Seeded(machine, token)
    for day, following in zip(days, (*days[1:], 0), strict=True):
        for pool, source in sources.items():
            _set_target(pools[pool], source.machine, day, repositories, last=day == days[-1])
        past.move(timedelta(days=following - day))
    yield from sources.values()
    names = {source.machine.name for source in sources.values()}
    others = (machine for machine in fleet.machines() if machine.name not in names)
    write = _Batches(pools, days, repositories)
    while batch := list(islice(others, _BATCH)):
        yield from write(batch)


def _pool(name: str, kind: PoolPlan) -> Pool:
    return pool_manager.create_pool(name=name, description=kind.description, actor=PEOPLE[0], **kind.policy)


def _code(pool: Pool) -> str:
    return endpoint_manager.create_enrolment_code(actor=PEOPLE[0], pool=pool, may_set_targets=True)[1]


def _set_target(pool: Pool, source: Machine, day: int, repositories: Repositories, *, last: bool) -> None:
    """The source reports its packages of that day, and somebody makes them the target."""
    endpoint = Endpoint.objects.with_target().get(name=source.name)
    states = States()
    digest = states.digest_of(source.packages_on(day))
    states.flush()
    endpoint_manager.check_in(
        endpoint=endpoint,
        seq=endpoint.report_seq + 1,
        state=digest,
        repositories=repositories.on(day),
        holds=source.kind.holds,
        agent_version=AGENT,
        examination=[],
    )
    if source.kind.has_target:
        person = PEOPLE[len(pool.name) % len(PEOPLE)]
        by_itself = last and source.kind.policy.get("endpoint_targets_need_approval", False)
        pool_manager.set_target(
            pool=pool,
            endpoint=endpoint,
            actor=audit.name_of(endpoint) if by_itself else person,
            setter=endpoint if by_itself else None,
            comment=f"Arch of {packages.date_of(day):%d %B}",
        )


@functools.lru_cache(maxsize=1024)
def _plan(roles: tuple[str, ...], before: int, after: int) -> dict[str, int]:
    changes = difference.compare(packages.installed(roles, before), packages.installed(roles, after))
    return difference.counts(changes)


@dataclass(frozen=True)
class _Batches:
    """Writes the machines that aren't sources: their history and their packages now."""

    pools: dict[str, Pool]
    days: tuple[int, ...]
    repositories: Repositories

    def __call__(self, machines: list[Machine]) -> list[Seeded]:
        """Write these machines, with the values of their last report."""
        now, states, made = clock.now(), States(), []
        endpoints = []
        for machine in machines:
            token, token_hash = new_token(ENDPOINT)
            silent = machine.fare is Fare.SILENT
            endpoints.append(
                Endpoint(
                    name=machine.name,
                    pool=self.pools.get(machine.pool or ""),
                    token_hash=token_hash,
                    arch=packages.ARCH,
                    agent_version="" if silent else AGENT,
                    state_id=None if silent else states.digest_of(machine.packages_now(*self._last_two)),
                    report_seq=0 if silent else len(self.days) + 1,
                    last_seen=None if silent else self._last_seen(machine, now),
                    holds=[] if silent else list(machine.kind.holds),
                    foreign=[] if silent else [one.name for one in machine.foreign],
                    dropped=[],
                    examination=None if silent else problems_of(machine),
                    created=now + timedelta(days=self.days[0] - 30),
                )
            )
            made.append(Seeded(machine, token))
        with transaction.atomic():
            states.flush()
            Endpoint.objects.bulk_create(endpoints)
            reporting = [pair for pair in zip(endpoints, made, strict=True) if pair[0].state_id]
            self._add_repositories(reporting)
            self._add_past(reporting, states)
        return made

    @property
    def _last_two(self) -> tuple[int, int]:
        """The days of the current target and of the previous one."""
        return self.days[-1], self.days[-2] if len(self.days) > 1 else self.days[-1] - 7

    def _last_seen(self, machine: Machine, now: datetime) -> datetime:
        chance = random.Random(machine.name)  # noqa: S311 - no secret
        if machine.fare is Fare.SWITCHED_OFF:
            return now - timedelta(minutes=chance.randrange(20, 4000))
        return now - timedelta(seconds=chance.randrange(20))

    def _add_repositories(self, reporting: list[tuple[Endpoint, Seeded]]) -> None:
        EndpointRepository.objects.bulk_create(
            EndpointRepository(
                endpoint=endpoint,
                position=position,
                name=one.name,
                content_id=one.digest,
                mirrors=list(one.mirrors),
            )
            for endpoint, known in reporting
            for position, one in enumerate(self.repositories.on(known.machine.refreshed(*self._last_two)))
        )

    def _add_past(self, reporting: list[tuple[Endpoint, Seeded]], states: States) -> None:
        """One operation for each target that a machine followed, and its states in between."""
        history: list[EndpointState] = []
        operations: list[Operation] = []
        revisions = self._revisions(reporting)
        for endpoint, known in reporting:
            of_pool = revisions.get(known.machine.pool or "", {})
            history += self._history(endpoint, known.machine, of_pool, states, operations)
        states.flush()
        EndpointState.objects.bulk_create(history)
        Operation.objects.bulk_create(operations)
        AuditEvent.objects.bulk_create(event for operation in operations for event in _audited(operation))

    def _history(
        self,
        endpoint: Endpoint,
        machine: Machine,
        revisions: dict[int, TargetRevision],
        states: States,
        operations: list[Operation],
    ) -> Iterator[EndpointState]:
        """The machine's states, oldest first. The syncs that led to them are added to `operations`."""
        before = ""
        for number, day in enumerate(self._followed(machine)):
            digest, revision = states.digest_of(machine.packages_on(day)), revisions.get(number + 1)
            at = self._when(endpoint, number, revision)
            if before and revision and digest != before:
                plan = _plan(machine.roles, self.days[number - 1], day)
                operations.append(_succeeded(endpoint, revision, before, digest, plan, at))
                yield _entry(endpoint, number + 1, digest, EndpointState.Cause.OPERATION, at)
            elif digest != before:
                yield _entry(endpoint, number + 1, digest, EndpointState.Cause.REPORT, at)
            before = digest
        if endpoint.state_id and endpoint.state_id != before:  # a change since then
            at = self._when(endpoint, len(self.days), None)
            yield _entry(endpoint, len(self.days) + 1, endpoint.state_id, EndpointState.Cause.REPORT, at)

    def _followed(self, machine: Machine) -> tuple[int, ...]:
        """The days of the targets that the machine followed."""
        return self.days[: max(1, len(self.days) - 1)] if machine.fare in (Fare.STAYED, Fare.MIXED) else self.days

    def _revisions(self, reporting: list[tuple[Endpoint, Seeded]]) -> dict[str, dict[int, TargetRevision]]:
        found: dict[str, dict[int, TargetRevision]] = {}
        pools = {endpoint.pool_id for endpoint, _ in reporting}
        rows = TargetRevision.objects.filter(pool__in=pools - {None}).select_related("pool").defer("unmanaged")
        for row in rows:
            found.setdefault(row.pool.name, {})[row.number] = row
        return found

    def _when(self, endpoint: Endpoint, number: int, revision: TargetRevision | None) -> datetime:
        """When the machine got to its state with this number: some time after the target was set."""
        after = timedelta(seconds=random.Random(f"{endpoint.name} {number}").randrange(600, 4000))  # noqa: S311
        if revision:
            return revision.created + after
        day = self.days[number] if number < len(self.days) else self.days[-1] + 1
        return endpoint.created + timedelta(days=day - self.days[0] + 30) + after


def problems_of(machine: Machine) -> list[ExaminationProblem]:
    """The problems that the machine finds when it examines itself."""
    if machine.fare is not Fare.UNREADABLE:
        return []
    text = "The database of the repository extra is missing, and no mirror gives it."
    return [ExaminationProblem(code=UNREADABLE, text=text, names=["extra"])]


def _succeeded(
    endpoint: Endpoint, revision: TargetRevision, base: str, target: str, plan: dict[str, int], at: datetime
) -> Operation:
    """A sync that succeeded at that time, with the values that the coordinator would have written."""
    automatic = revision.pool.auto_sync
    created = at - timedelta(seconds=random.Random(endpoint.name).randrange(40, 400))  # noqa: S311 - no secret
    return Operation(
        endpoint=endpoint,
        kind=OperationKind.SYNC,
        status=OperationStatus.SUCCEEDED,
        revision=revision,
        base_state_id=base,
        target_state_id=target,
        end_state_id=target,
        foreign=endpoint.foreign,
        plan=plan,
        result={"outcome": "succeeded", "code": "", "message": "", "log_tail": ""},
        author=f"{audit.POLICY}{revision.pool.name}" if automatic else PEOPLE[1],
        attempt=1,
        created=created,
        applying_since=created + (at - created) / 2,
        finished=at,
        deadline=created + DEADLINE,
    )


def _entry(endpoint: Endpoint, seq: int, state: str, cause: str, at: datetime) -> EndpointState:
    return EndpointState(endpoint=endpoint, seq=seq, state_id=state, cause=cause, at=at)


def _audited(operation: Operation) -> list[AuditEvent]:
    name, endpoint = audit.name_of(operation), operation.endpoint.name
    after = {"endpoint": endpoint, "kind": str(operation.kind), "plan": operation.plan}
    ended = {"status": "succeeded", "code": ""}
    return [
        AuditEvent(actor=operation.author, verb="create", object=name, after=after, at=operation.created),
        AuditEvent(
            actor=f"endpoint:{endpoint}",
            verb="succeeded",
            object=name,
            before={"status": "applying"},
            after=ended,
            at=operation.finished or operation.created,
        ),
    ]
