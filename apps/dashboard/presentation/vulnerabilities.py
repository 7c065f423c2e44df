"""Known vulnerabilities for the pages of endpoints, pools and the fleet. It must not decide what concerns what.

Each function returns None while the feature is off, so that pages show nothing of it.
"""

from dataclasses import dataclass

from apps.dashboard.presentation.name_lists import NameList, shorten
from apps.dashboard.presentation.status_badges import SEVERITY_BADGES
from apps.fleet.goals import Goal
from apps.fleet.models import Endpoint, Pool
from apps.fleet.status_badges import Badge
from apps.vulnerabilities import findings, selection, target_remedy, tracker_list
from apps.vulnerabilities.models import TrackerList
from apps.vulnerabilities.selection import LEVELS, Selection
from apps.vulnerabilities.severity import Severity
from apps.vulnerabilities.target_remedy import Remedied

ALWAYS = {"critical", "high", "medium", "low", "none"}
"""The tiles that are shown with a 0, too."""


@dataclass(frozen=True, kw_only=True)
class Tile:
    """How many endpoints are affected how badly. `worst` is a word of LEVELS."""

    badge: Badge
    worst: str
    count: int


@dataclass(frozen=True, kw_only=True)
class FleetSection:
    """The endpoints of the fleet, or of a pool, by their worst severity."""

    tracker: TrackerList
    tiles: list[Tile]
    affected: int
    is_known: bool


@dataclass(frozen=True, kw_only=True)
class EndpointSection:
    """What concerns an endpoint; `found` is None if its state isn't compared yet."""

    tracker: TrackerList
    found: list[Remedied] | None
    packages: int
    has_goal: bool


@dataclass(frozen=True, kw_only=True)
class TargetSection:
    """The affected packages of a pool's target, None if it isn't compared yet; the worst severity."""

    packages: NameList | None
    total: int
    worst: str


def of_fleet(chosen: Selection | None = None) -> FleetSection | None:
    """Two statements."""
    if not tracker_list.is_enabled():
        return None
    found = selection.summary(chosen)
    tiles = [
        Tile(
            badge=SEVERITY_BADGES[f"severity_{word}"],
            worst=word,
            count=found.endpoints[word],
        )
        for word in LEVELS
        if word in ALWAYS or found.endpoints[word]
    ]
    return FleetSection(tracker=found.list, tiles=tiles, affected=found.affected(), is_known=found.is_known)


def of_target(pool: Pool) -> TargetSection | None:
    """Four statements; None also without a target."""
    if not tracker_list.is_enabled() or pool.target is None:
        return None
    found = findings.in_state(pool.target.state_id)
    if found is None:
        return TargetSection(packages=None, total=0, worst="")
    names = findings.packages_of(found)
    worst = max((one.advisory.severity for one in found), default=int(Severity.NONE))
    return TargetSection(packages=shorten(names), total=len(names), worst=Severity(worst).word)


def of_endpoint(endpoint: Endpoint, goal: Goal | None) -> EndpointSection | None:
    """`goal` is what a sync would do now, if one is possible. Six statements; None also if it has never reported."""
    if not tracker_list.is_enabled() or endpoint.state_id is None:
        return None
    known, found = tracker_list.current(), findings.in_state(endpoint.state_id)
    if found is None:
        return EndpointSection(tracker=known, found=None, packages=0, has_goal=False)
    target = goal.revision.state if goal is not None and goal.revision is not None else None
    kept = {name for names in goal.kept.values() for name in names} if goal is not None else set()
    remedied = target_remedy.by_target(found, target, kept)
    return EndpointSection(
        tracker=known, found=remedied, packages=len(findings.packages_of(found)), has_goal=target is not None
    )
