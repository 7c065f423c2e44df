"""The health of the instance: what this worker and the other workers have found, combined.

It must not know how it is shown.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from apps.health.checking import explanations, process_checker, worker_reports
from apps.health.checking.checker import HISTORY
from apps.health.checking.results import CheckOutcome, CheckResults, CheckStatus, Readiness, assess
from apps.health.checks.registered import RegisteredCheck

_WORST = (CheckStatus.HEALTHY, CheckStatus.DEGRADED, CheckStatus.NOT_INITIALIZED, CheckStatus.UNHEALTHY)


@dataclass(frozen=True)
class ComponentHealth:
    """One check across all workers: the worst outcome, the newest time, the last outcomes (oldest first)."""

    registered: RegisteredCheck
    outcome: CheckOutcome
    history: tuple[CheckOutcome, ...]

    @property
    def name(self) -> str:
        return self.registered.name

    @property
    def advice(self) -> str:
        """What to do about it; empty if there is nothing to do."""
        return explanations.advice(self.outcome.problem, self.registered.advice)


@dataclass(frozen=True)
class InstanceHealth:
    status: CheckStatus
    components: tuple[ComponentHealth, ...]

    def __getitem__(self, name: str) -> ComponentHealth:
        return next(component for component in self.components if component.name == name)


def outcome_of(values: Iterable[object]) -> CheckOutcome:
    """An outcome, from the four values that a worker reported."""
    status, problem, at, seconds = values
    return CheckOutcome(CheckStatus(str(status)), str(problem), float(str(at)), float(str(seconds)))


def reports_of_others(*, ended: bool = False) -> list[dict[str, Any]]:
    """Recent reports of the other workers' checkers, newest first. `ended`: including workers that have ended."""
    oldest = time.time() - 2 * settings.HEALTH_CHECK_INTERVAL - 10
    return [report for report in worker_reports.read("checks", own=False, ended=ended) if report["at"] > oldest]


def _results_of(report: dict[str, Any]) -> CheckResults:
    outcomes = {name: outcome_of(values) for name, values in report["outcomes"].items()}
    return CheckResults(process_checker.checker().checks, outcomes, complete=True)


def newest_results_of_others() -> CheckResults | None:
    """The newest results of another worker, even of the one that this one has replaced; None if there are none."""
    return next(map(_results_of, reports_of_others(ended=True)), None)


def unreadiness_of_others() -> Readiness | None:
    """Why another worker isn't ready; None if no report says that one isn't."""
    readiness = (_results_of(report).readiness for report in reports_of_others())
    return next((found for found in readiness if found.reason), None)


def health() -> InstanceHealth:
    """The health of the instance as of now."""
    checker = process_checker.checker()
    results = checker.current()
    theirs = reports_of_others()
    components = tuple(_component(item, results, list(checker.history[item.name]), theirs) for item in checker.checks)
    return InstanceHealth(assess(results.checks, {item.name: item.outcome for item in components}), components)


def _component(
    item: RegisteredCheck, results: CheckResults, own: list[CheckOutcome], theirs: list[dict[str, Any]]
) -> ComponentHealth:
    found = [outcome_of(report["outcomes"][item.name]) for report in theirs if item.name in report["outcomes"]]
    # This worker's own current result counts, unless it has none yet and another worker does.
    if results.complete or not found:
        found.append(results.effective[item.name])
    past = {outcome_of(entry) for report in theirs for entry in report["history"].get(item.name, ())} | set(own)
    worst = max(found, key=lambda outcome: (_WORST.index(outcome.status), outcome.at))
    newest = max(found, key=lambda outcome: outcome.at)
    outcome = worst if worst.status is not newest.status else newest
    history = sorted(past, key=lambda entry: entry.at)
    if history and history[-1].status.works and not outcome.status.works:
        history.append(outcome._replace(at=time.time(), seconds=0.0))  # a check that is hanging right now
    return ComponentHealth(item, outcome._replace(at=newest.at), tuple(history[-HISTORY:]))
