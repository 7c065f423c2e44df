"""Compares states with the current list, in the background: the states that endpoints are in, and pools' targets.

A state holds packed keys of package versions. Each version that a state has and the list names is compared once; then
the few affected ones are looked for in every state. It must not know how the list came or who reads the result.
"""

import time
from collections.abc import Sequence

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from apps.fleet import states
from apps.fleet.models import Endpoint, PackageVersion, Pool, State
from apps.lifecycle.work.chores import run_exclusively

from . import matching, tracker_list
from .models import Advisory, AdvisoryPackage, StateVulnerabilities
from .severity import WORST_FIRST, Severity

CHORE = "vulnerabilities"
AT_ONCE = 500
"""The states that are read and written together."""
MOST = 5000
"""The states of one run."""
REMOVED = 1000
"""The rows of states that nobody is in any more, of one run."""
COUNTS = [one.word for one in WORST_FIRST]
FIELDS = ["generation", "worst", "versions", *COUNTS]


def compare(most: int = MOST) -> int:
    """Compare at most this many states that aren't compared with the current list. Returns how many. A chore's step.

    If none waits, rows are removed that nobody needs.
    """
    if not tracker_list.is_enabled():
        return 0
    generation = tracker_list.current().generation
    if not generation:
        return 0
    digests = list(waiting(generation).order_by("pk").values_list("pk", flat=True)[:most])
    if not digests:
        _remove_unneeded()
        return 0
    advisories = _Advisories()
    for start in range(0, len(digests), AT_ONCE):
        time.sleep(0)  # requests of this process go first
        _compare(digests[start : start + AT_ONCE], advisories, generation)
    return len(digests)


def compare_all(seconds: float) -> bool:
    """Compare until no state waits, for a command. Returns False if that took longer, or others were at it so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        compared = _compare_alone()
        if compared == 0:
            return True
        if compared is None:
            time.sleep(0.1)
    return False


def _compare_alone() -> int | None:
    """None if another process compares now."""
    counts: list[int] = []
    return counts[0] if run_exclusively(CHORE, lambda: counts.append(compare())) else None


def waiting(generation: int) -> "QuerySet[State]":
    """The states that somebody is in, or should be in, and that aren't compared with this list."""
    compared = StateVulnerabilities.objects.filter(state=OuterRef("pk"), generation=generation)
    return State.objects.filter(_needed("pk")).exclude(Exists(compared))


def _needed(state: str) -> Q:
    of_endpoints = Exists(Endpoint.objects.filter(state=OuterRef(state)))
    return Q(of_endpoints | Exists(Pool.objects.filter(target__state=OuterRef(state))))


def _remove_unneeded() -> None:
    unneeded = StateVulnerabilities.objects.exclude(_needed("state_id")).order_by("pk")
    digests = list(unneeded.values_list("pk", flat=True)[:REMOVED])
    if digests:
        StateVulnerabilities.objects.filter(pk__in=digests).delete()


class _Advisories:
    """The current list, for the package versions that its names have. Two statements.

    Only versions that a state has are compared, each once: most are of the past.
    """

    def __init__(self) -> None:
        self._by_package: dict[str, list[Advisory]] = {}
        rows = AdvisoryPackage.objects.select_related("advisory")
        for row in rows.defer("advisory__issues", "advisory__announcements"):
            self._by_package.setdefault(row.package, []).append(row.advisory)
        listed = PackageVersion.objects.filter(name__in=AdvisoryPackage.objects.values("package"))
        self._waiting = {key: (name, version) for key, name, version in listed.values_list("pk", "name", "version")}
        self._concerned: dict[int, list[Advisory]] = {}

    def concerning(self, keys: set[int]) -> dict[int, list[Advisory]]:
        """Those of these package versions that any advisory concerns, with the advisories."""
        for key in self._waiting.keys() & keys:
            if found := matching.concerning(*self._waiting.pop(key), self._by_package):
                self._concerned[key] = found
        return {key: self._concerned[key] for key in self._concerned.keys() & keys}


def _compare(digests: Sequence[str], advisories: _Advisories, generation: int) -> None:
    packed = State.objects.filter(pk__in=digests).values_list("pk", "packages")
    rows = [
        _row(digest, advisories.concerning({value >> 1 for value in states.unpack(packages)}), generation)
        for digest, packages in packed
    ]
    with transaction.atomic():
        StateVulnerabilities.objects.bulk_create(
            rows, update_conflicts=True, unique_fields=["state"], update_fields=FIELDS
        )


def _row(digest: str, concerned: dict[int, list[Advisory]], generation: int) -> StateVulnerabilities:
    severities = list({one.pk: one.severity for found in concerned.values() for one in found}.values())
    counts = {one.word: severities.count(one) for one in WORST_FIRST}
    return StateVulnerabilities(
        state_id=digest,
        generation=generation,
        worst=max(severities, default=int(Severity.NONE)),
        versions=states.pack(concerned),
        **counts,
    )
