"""The health of the instance: what this worker found, and what the other workers found, as one.

It must not know how it is shown.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from apps.health import notes, process, words
from apps.health.checker import HISTORY
from apps.health.checks import Registered
from apps.health.results import Outcome, Readiness, Snapshot, Status, assess

_WORST = (Status.HEALTHY, Status.DEGRADED, Status.NOT_INITIALIZED, Status.UNHEALTHY)


@dataclass(frozen=True)
class Component:
    """One check over all workers: the worst outcome, the newest time, the last outcomes (oldest first)."""

    registered: Registered
    outcome: Outcome
    history: tuple[Outcome, ...]

    @property
    def name(self) -> str:
        return self.registered.name

    @property
    def advice(self) -> str:
        """What to do about it; empty when there is nothing to do."""
        return words.advice(self.outcome.problem, self.registered.advice)


@dataclass(frozen=True)
class Health:
    status: Status
    components: tuple[Component, ...]

    def __getitem__(self, name: str) -> Component:
        return next(component for component in self.components if component.name == name)


def outcome_of(values: Iterable[object]) -> Outcome:
    """An outcome as it was written to a note."""
    status, problem, at, seconds = values
    return Outcome(Status(str(status)), str(problem), float(str(at)), float(str(seconds)))


def others(*, ended: bool = False) -> list[dict[str, Any]]:
    """What the other workers' checkers have left lately, the newest first; `ended`: of workers that are gone, too."""
    oldest = time.time() - 2 * settings.HEALTH_CHECK_INTERVAL - 10
    return [note for note in notes.read("checks", own=False, ended=ended) if note["at"] > oldest]


def of_the_others() -> Snapshot | None:
    """The newest results of another worker, which may just have been replaced by this one; None when there are none."""
    checks = process.checker().checks
    for note in others(ended=True)[:1]:
        outcomes = {name: outcome_of(values) for name, values in note["outcomes"].items()}
        return Snapshot(checks, outcomes, complete=True)
    return None


def unreadiness_of_others() -> Readiness | None:
    """Why another worker isn't ready; None when their notes don't say."""
    checks = process.checker().checks
    for note in others():
        outcomes = {name: outcome_of(values) for name, values in note["outcomes"].items()}
        found = Snapshot(checks, outcomes, complete=True).readiness
        if found.reason:
            return found
    return None


def health() -> Health:
    """The health of the instance as of now."""
    checker = process.checker()
    snapshot = checker.current()
    theirs = others()
    components = tuple(_component(item, snapshot, list(checker.history[item.name]), theirs) for item in checker.checks)
    return Health(assess(snapshot.checks, {item.name: item.outcome for item in components}), components)


def _component(item: Registered, snapshot: Snapshot, own: list[Outcome], theirs: list[dict[str, Any]]) -> Component:
    found = [outcome_of(note["outcomes"][item.name]) for note in theirs if item.name in note["outcomes"]]
    # This worker's own result counts as it is now, unless it has none yet and another worker has.
    if snapshot.complete or not found:
        found.append(snapshot.effective[item.name])
    past = {outcome_of(entry) for note in theirs for entry in note["history"].get(item.name, ())} | set(own)
    worst = max(found, key=lambda outcome: (_WORST.index(outcome.status), outcome.at))
    newest = max(found, key=lambda outcome: outcome.at)
    outcome = worst if worst.status is not newest.status else newest
    history = sorted(past, key=lambda entry: entry.at)
    if history and history[-1].status.works and not outcome.status.works:
        history.append(outcome._replace(at=time.time(), seconds=0.0))  # a check that hangs at this moment
    return Component(item, outcome._replace(at=newest.at), tuple(history[-HISTORY:]))
