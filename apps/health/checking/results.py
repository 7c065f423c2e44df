"""What checks found, as values: one outcome, the outcomes of all, and what they mean for readiness.

It must not know the database, threads or HTTP. To add a readiness reason, put it into REASONS and its
sentences into `readiness_sentences`. The reason for a new kind of failure needs an `Impact` first.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from apps.health.checks.exceptions import LacksRight
from apps.health.checks.registered import Impact, RegisteredCheck
from apps.lifecycle.shared_memory import phase


class CheckStatus(StrEnum):
    HEALTHY = "healthy"
    DEGRADED = "degraded"  # works, with a warning
    UNHEALTHY = "unhealthy"
    NOT_INITIALIZED = "not_initialized"

    @property
    def works(self) -> bool:
        return self in (CheckStatus.HEALTHY, CheckStatus.DEGRADED)


class CheckOutcome(NamedTuple):
    """One run of one check. `problem` is a stable code, never the text of an exception.

    `at` is when it ended (seconds since 1970; 0: it never ran), `seconds` how long it took.
    """

    status: CheckStatus
    problem: str = ""
    at: float = 0.0
    seconds: float = 0.0


DATABASE_UNHEALTHY = "database_unhealthy"
HEALTHY = CheckOutcome(CheckStatus.HEALTHY)
UNKNOWN = CheckOutcome(CheckStatus.NOT_INITIALIZED, "not_checked_yet")
TIMED_OUT = CheckOutcome(CheckStatus.UNHEALTHY, "timed_out")
CHECKER_STALLED = "checker_stalled"
SHUTTING_DOWN, STARTING = PHASE_REASONS = ("shutting_down", "starting")
"""The readiness reasons that the phase gives; all others are about the checks."""


class Readiness(NamedTuple):
    """Whether requests should come here. `reason` is one of REASONS, or empty when ready.

    `dependencies` lists those that don't work, as (name, status), with the reason `dependencies_not_ready`.
    """

    reason: str = ""
    dependencies: tuple[tuple[str, str], ...] = ()

    @property
    def by_checks(self) -> bool:
        """Whether it is about the checks, not the phase."""
        return self.reason not in ("", *PHASE_REASONS)


class Deadline(NamedTuple):
    """When (monotonic seconds) the round under way must have moved on by. `check` is what runs; empty if none does."""

    check: str
    at: float


@dataclass(frozen=True)
class CheckResults:
    """Each check's last outcome at one moment. `finished` is when the last round ended (monotonic seconds).

    `deadline` is that of the round under way. `stalled`: the checker itself doesn't work, so none of this is known any
    more.
    """

    checks: tuple[RegisteredCheck, ...]
    outcomes: Mapping[str, CheckOutcome]
    complete: bool = False
    finished: float = float("-inf")
    deadline: Deadline | None = None
    stalled: bool = False

    def as_of(self, now: float) -> "CheckResults":
        """The same at `now` (monotonic seconds): itself, or `overdue` past the deadline."""
        return self.overdue if self.deadline and now > self.deadline.at else self

    @functools.cached_property
    def overdue(self) -> "CheckResults":
        """The same past the deadline: the check that runs has timed out; if none does, nothing is known."""
        if not self.deadline or not self.deadline.check:
            return self.without_checker
        name = self.deadline.check
        before = self.outcomes.get(name, UNKNOWN)
        late = TIMED_OUT._replace(at=before.at, seconds=before.seconds)
        return replace(self, outcomes={**self.outcomes, name: late}, complete=True, deadline=None)

    @functools.cached_property
    def without_checker(self) -> "CheckResults":
        """The same when the checker itself has failed: what it last found no longer counts."""
        outcomes = {
            item.name: self.outcomes.get(item.name, UNKNOWN)._replace(
                status=CheckStatus.UNHEALTHY, problem=CHECKER_STALLED
            )
            for item in self.checks
        }
        return replace(self, outcomes=outcomes, complete=True, deadline=None, stalled=True)

    @functools.cached_property
    def effective(self) -> dict[str, CheckOutcome]:
        """The outcome of every check, including what a broken database means for those that need it."""
        database_works = all(
            self.outcomes.get(item.name, UNKNOWN).status.works for item in self.checks if item.impact is Impact.DATABASE
        )
        return {item.name: self._effective(item, database_works) for item in self.checks}

    def _effective(self, item: RegisteredCheck, database_works: bool) -> CheckOutcome:
        outcome = self.outcomes.get(item.name, UNKNOWN)
        if not self.complete or self.stalled or database_works:
            return outcome
        if item.needs_database or (item.fails_with_database and outcome.status is CheckStatus.HEALTHY):
            return outcome._replace(status=CheckStatus.UNHEALTHY, problem=DATABASE_UNHEALTHY)
        return outcome

    @functools.cached_property
    def failed_dependencies(self) -> tuple[tuple[str, str], ...]:
        """The dependencies that don't work, as (name, status)."""
        return tuple(
            (item.name, str(self.effective[item.name].status))
            for item in self.checks
            if item.impact is Impact.DEPENDENCY and not self.effective[item.name].status.works
        )

    @functools.cached_property
    def failed_impacts(self) -> frozenset[Impact]:
        """What the failed checks do to readiness, taken together."""
        failed = [item for item in self.checks if not self.effective[item.name].status.works]
        # A round under way may not have reached the checks yet that failed because of the broken database.
        by_database = {Impact.DATABASE for item in failed if self.effective[item.name].problem == DATABASE_UNHEALTHY}
        return frozenset({item.impact for item in failed} | by_database)

    @functools.cached_property
    def lacks_right(self) -> bool:
        """Whether the server's role may not read what a check reads."""
        reading = (item.name for item in self.checks if item.impact is not Impact.WRITES)
        return any(self.effective[name].problem == LacksRight.problem for name in reading)

    @property
    def database_usable(self) -> bool:
        """Whether a query makes sense: the database works, with the schema of this code."""
        known = self.complete and not self.stalled
        return known and not self.failed_impacts & {Impact.DATABASE, Impact.MIGRATIONS}

    @property
    def readiness(self) -> Readiness:
        """The first of REASONS that applies."""
        reason = next((reason for reason, applies in REASONS.items() if applies(self)), "")
        return Readiness(reason, self.failed_dependencies if reason == "dependencies_not_ready" else ())

    @property
    def fails(self) -> bool:
        """Whether the checks alone, whatever the phase, make this process not ready."""
        reasons = (applies for reason, applies in REASONS.items() if reason not in PHASE_REASONS)
        return self.complete and any(applies(self) for applies in reasons)

    @functools.cached_property
    def status(self) -> CheckStatus:
        return assess(self.checks, self.effective)


def assess(checks: Iterable[RegisteredCheck], outcomes: Mapping[str, CheckOutcome]) -> CheckStatus:
    """All in one word: unhealthy if requests fail, degraded if something else needs attention."""
    bad = [item for item in checks if outcomes[item.name].status is not CheckStatus.HEALTHY]
    if any(item.impact.critical and not outcomes[item.name].status.works for item in bad):
        return CheckStatus.UNHEALTHY
    return CheckStatus.DEGRADED if bad else CheckStatus.HEALTHY


REASONS: dict[str, Callable[[CheckResults], bool]] = {
    SHUTTING_DOWN: lambda _: phase.leaving(),
    STARTING: lambda results: not results.complete,
    CHECKER_STALLED: lambda results: results.stalled,
    "database_right_missing": lambda results: results.lacks_right,
    DATABASE_UNHEALTHY: lambda results: Impact.DATABASE in results.failed_impacts,
    "migrations_pending": lambda results: Impact.MIGRATIONS in results.failed_impacts,
    "database_not_writable": lambda results: Impact.WRITES in results.failed_impacts,
    "dependencies_not_ready": lambda results: Impact.DEPENDENCY in results.failed_impacts,
}
"""Why an instance isn't ready, and when each reason applies. The first one that applies is given."""
