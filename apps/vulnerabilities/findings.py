"""Which advisories concern the packages of endpoints and states. It must not know how anything is shown.

States' rows name the affected package versions; which advisories concern these few is found again from the list, by the
same rule. Every answer takes a constant number of statements.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from django.db.models import Count

from apps.fleet import states
from apps.fleet.consistent_read import consistent_read
from apps.fleet.key_lists import among
from apps.fleet.models import PackageVersion

from . import matching, tracker_list
from .models import Advisory, AdvisoryPackage, StateVulnerabilities
from .selection import Selection
from .severity import Severity

Package = tuple[str, str]
"""Name and version."""


@dataclass(frozen=True, kw_only=True)
class Installed:
    """A package and an advisory that concerns it."""

    package: str
    version: str
    advisory: Advisory


@dataclass(kw_only=True)
class InFleet:
    """An advisory, the versions of packages that it concerns, by name, and how many endpoints have any of them."""

    advisory: Advisory
    packages: dict[str, set[str]] = field(default_factory=dict)
    endpoints: int = 0


@consistent_read()
def in_fleet(selection: Selection) -> list[InFleet]:
    """What concerns the selected endpoints: worst first, then what most of them have. Four statements."""
    rows = selection.affected(tracker_list.current().generation)
    shares = list(rows.values_list("state__vulnerabilities__versions").annotate(number=Count("pk")))
    unpacked = [(states.unpack(versions), number) for versions, number in shares]
    having = _endpoints_by_version(unpacked)
    concerned = _concerned(having, selection.severity)
    found: dict[int, InFleet] = {}
    for key, each in concerned.items():
        for one in each:
            known = found.setdefault(one.advisory.pk, InFleet(advisory=one.advisory))
            known.packages.setdefault(one.package, set()).add(one.version)
            known.endpoints += having[key]
    _count_once(found, concerned, unpacked)
    return sorted(found.values(), key=lambda one: (-one.advisory.severity, -one.endpoints, _number(one.advisory.name)))


def _endpoints_by_version(unpacked: Sequence[tuple["array[int]", int]]) -> Counter[int]:
    """How many endpoints have each affected version."""
    having: Counter[int] = Counter()
    for keys, number in unpacked:
        if number == 1:
            having.update(keys)  # much faster than one by one, and the usual case of a fleet of many states
        else:
            having.update(dict.fromkeys(keys, number))
    return having


def _count_once(
    found: dict[int, InFleet], concerned: dict[int, list[Installed]], unpacked: Sequence[tuple["array[int]", int]]
) -> None:
    """Count again for advisories about several packages: an endpoint that has two of them counts once."""
    several = {pk for pk, one in found.items() if len(one.packages) > 1}
    shared = {
        key: advisories
        for key, each in concerned.items()
        if (advisories := [one.advisory.pk for one in each if one.advisory.pk in several])
    }
    endpoints: Counter[int] = Counter()
    for keys, number in unpacked:
        mine = {pk for key in shared.keys() & set(keys) for pk in shared[key]}
        endpoints.update(dict.fromkeys(mine, number))
    for pk in several:
        found[pk].endpoints = endpoints[pk]


@consistent_read()
def in_state(digest: str) -> list[Installed] | None:
    """What concerns the packages of a state, worst first; None if it isn't compared yet. Four statements."""
    generation = tracker_list.current().generation
    row = StateVulnerabilities.objects.filter(pk=digest, generation=generation).first()
    if row is None:
        return None
    found = [one for each in _concerned(states.unpack(row.versions)).values() for one in each]
    return sorted(found, key=lambda one: (-one.advisory.severity, one.package, _number(one.advisory.name)))


def of_state(digest: str | None) -> StateVulnerabilities | None:
    """The row of a state; None if it isn't compared with the current list. Two statements."""
    if digest is None:
        return None
    generation = tracker_list.current().generation
    return StateVulnerabilities.objects.defer("versions").filter(pk=digest, generation=generation).first()


def _concerned(keys: Iterable[int], severity: Severity = Severity.UNKNOWN) -> dict[int, list[Installed]]:
    """The advisories, at least this severe, that concern each of these package versions. Two statements."""
    wanted = list(keys)
    if not wanted:
        return {}
    versions = PackageVersion.objects.filter(pk__in=among(PackageVersion, wanted))
    by_package: dict[str, list[Advisory]] = {}
    rows = AdvisoryPackage.objects.select_related("advisory").filter(
        package__in=versions.values("name"), advisory__severity__gte=severity
    )
    for row in rows:
        by_package.setdefault(row.package, []).append(row.advisory)
    return {
        key: [
            Installed(package=name, version=version, advisory=advisory)
            for advisory in matching.concerning(name, version, by_package)
        ]
        for key, name, version in versions.values_list("pk", "name", "version")
    }


def _number(name: str) -> int:
    """So that AVG-2 comes before AVG-10."""
    return int(name.rpartition("-")[2])


def packages_of(found: Sequence[Installed]) -> list[str]:
    """The names of the packages, each once, worst first."""
    return list(dict.fromkeys(one.package for one in found))
