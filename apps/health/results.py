"""What checks found, as values: one outcome, the outcomes of all, and what follows for readiness.

It must not know the database, threads or HTTP.
"""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from apps.health.checks import Registered, Role


class Status(StrEnum):
    HEALTHY = "healthy"
    DEGRADED = "degraded"  # works, with a warning
    UNHEALTHY = "unhealthy"
    NOT_INITIALIZED = "not_initialized"

    @property
    def works(self) -> bool:
        return self in (Status.HEALTHY, Status.DEGRADED)


class Outcome(NamedTuple):
    """One run of one check. `problem` is a stable code; no text of an exception is ever in it.

    `at` is when it ended (seconds since 1970; 0: never ran), `seconds` how long it took.
    """

    status: Status
    problem: str = ""
    at: float = 0.0
    seconds: float = 0.0


DATABASE_UNHEALTHY = "database_unhealthy"
HEALTHY = Outcome(Status.HEALTHY)
UNKNOWN = Outcome(Status.NOT_INITIALIZED, "not_checked_yet")
TIMED_OUT = Outcome(Status.UNHEALTHY, "timed_out")
CHECKER_STALLED = "checker_stalled"

REASONS = (
    "starting",
    "checker_stalled",
    "database_unhealthy",
    "database_not_writable",
    "migrations_pending",
    "dependencies_not_ready",
    "shutting_down",
)


class Readiness(NamedTuple):
    """Whether requests should come here. `reason` is one of REASONS, empty when ready."""

    reason: str = ""
    dependencies: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Flight:
    """A check that is running: from `deadline` (monotonic seconds) on it is unhealthy."""

    name: str
    deadline: float


@dataclass(frozen=True)
class Snapshot:
    """The last outcome of each check at one moment. `finished` is when the last round ended (monotonic seconds).

    `stalled`: the checker itself doesn't work, so that nothing of this is known any more.
    """

    checks: tuple[Registered, ...]
    outcomes: Mapping[str, Outcome]
    complete: bool = False
    finished: float = float("-inf")
    flight: Flight | None = None
    stalled: bool = False

    @property
    def overdue_at(self) -> float:
        return self.flight.deadline if self.flight else float("inf")

    @functools.cached_property
    def overdue(self) -> "Snapshot":
        """The same once the check in flight is past its limit."""
        if self.flight is None:
            return self
        before = self.outcomes.get(self.flight.name, UNKNOWN)
        late = TIMED_OUT._replace(at=before.at, seconds=before.seconds)
        return replace(self, outcomes={**self.outcomes, self.flight.name: late}, complete=True, flight=None)

    @functools.cached_property
    def without_checker(self) -> "Snapshot":
        """The same once the checker doesn't do its rounds any more: what it found last is worth nothing."""
        outcomes = {
            item.name: self.outcomes.get(item.name, UNKNOWN)._replace(status=Status.UNHEALTHY, problem=CHECKER_STALLED)
            for item in self.checks
        }
        return replace(self, outcomes=outcomes, complete=True, flight=None, stalled=True)

    @functools.cached_property
    def effective(self) -> dict[str, Outcome]:
        """The outcome of every check, with what a broken database means for those that need it."""
        database_works = all(
            self.outcomes.get(item.name, UNKNOWN).status.works for item in self.checks if item.role is Role.DATABASE
        )
        return {item.name: self._effective(item, database_works) for item in self.checks}

    def _effective(self, item: Registered, database_works: bool) -> Outcome:
        outcome = self.outcomes.get(item.name, UNKNOWN)
        if not self.complete or self.stalled or database_works:
            return outcome
        if item.needs_database or (item.fails_with_database and outcome.status is Status.HEALTHY):
            return outcome._replace(status=Status.UNHEALTHY, problem=DATABASE_UNHEALTHY)
        return outcome

    @functools.cached_property
    def readiness(self) -> Readiness:
        """As far as checks decide it; the lifecycle phase is not known here."""
        if not self.complete:
            return Readiness("starting")
        if self.stalled:
            return Readiness(CHECKER_STALLED)
        failed = [item for item in self.checks if not self.effective[item.name].status.works]
        roles = {item.role for item in failed}
        # The second: a round is under way, and has not come to the checks that the broken database had made fail.
        if Role.DATABASE in roles or any(self.effective[item.name].problem == DATABASE_UNHEALTHY for item in failed):
            return Readiness(DATABASE_UNHEALTHY)
        if Role.MIGRATIONS in roles:
            return Readiness("migrations_pending")
        if Role.WRITES in roles:
            return Readiness("database_not_writable")
        dependencies = tuple(
            (item.name, str(self.effective[item.name].status)) for item in failed if item.role is Role.DEPENDENCY
        )
        return Readiness("dependencies_not_ready", dependencies) if dependencies else Readiness()

    @functools.cached_property
    def status(self) -> Status:
        return assess(self.checks, self.effective)


def assess(checks: Iterable[Registered], outcomes: Mapping[str, Outcome]) -> Status:
    """All in one word: unhealthy when requests fail, degraded when something else wants attention."""
    bad = [item for item in checks if outcomes[item.name].status is not Status.HEALTHY]
    critical = (Role.DATABASE, Role.WRITES, Role.DEPENDENCY)
    if any(item.role in critical and not outcomes[item.name].status.works for item in bad):
        return Status.UNHEALTHY
    return Status.DEGRADED if bad else Status.HEALTHY
