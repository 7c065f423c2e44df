"""Changes of packages as the lines of a table. It must not compare anything."""

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from django.http import HttpRequest

from apps.fleet.alpm.state import InstalledPackage
from apps.fleet.difference import Change
from apps.fleet.revisions import Unmanaged

CHANGES_SHOWN = 200


class ChangeLine(NamedTuple):
    """One change. `kind` has a badge; `absent` is the text for a side that doesn't have the package."""

    name: str
    kind: str
    before: InstalledPackage | None
    after: InstalledPackage | None
    absent: str = "not installed"


def change_table(
    request: HttpRequest,
    changes: list[Change],
    *,
    unmanaged_before: Collection[str] = (),
    unmanaged_after: Collection[str] = (),
) -> dict[str, Any]:
    """`difference` of `parts/package_changes.html`: counts, and the first CHANGES_SHOWN; all with `?changes=all`.

    A package that the revision on one side doesn't manage is neither installed nor removed by the change.
    """
    lines = [_line(change, unmanaged_before, unmanaged_after) for change in changes]
    visible = lines if request.GET.get("changes") == "all" else lines[:CHANGES_SHOWN]
    return {
        "changes": visible,
        "more": len(lines) - len(visible),
        "all": "?changes=all",
        "counts": Counter(line.kind for line in lines),
    }


def page_of_changes(page: Iterable[Change], changes: Iterable[Change]) -> dict[str, Any]:
    """`difference` of `parts/package_changes.html` for a page of the changes; the counts are of all `changes`."""
    return {
        "changes": [ChangeLine(*change) for change in page],
        "counts": Counter(change.kind for change in changes),
    }


def by_reason(unmanaged: Iterable[Unmanaged]) -> dict[str, list[str]]:
    """The names of packages that a target doesn't manage, by reason. Only the reasons that occur."""
    found: dict[str, list[str]] = {}
    for one in unmanaged:
        found.setdefault(one["why"], []).append(one["name"])
    return dict(sorted(found.items()))


def _line(change: Change, unmanaged_before: Collection[str], unmanaged_after: Collection[str]) -> ChangeLine:
    if change.before is None and change.name in unmanaged_before:
        return ChangeLine(change.name, "manage", None, change.after, "not managed")
    if change.after is None and change.name in unmanaged_after:
        return ChangeLine(change.name, "leave", change.before, None, "not managed")
    return ChangeLine(change.name, change.kind, change.before, change.after)
