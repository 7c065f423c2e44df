"""The difference between a target and the one that would follow it, for pages that ask before it is set."""

from collections.abc import Iterable
from typing import Any

from django.http import HttpRequest

from apps.dashboard.presentation.package_changes import change_table
from apps.fleet import difference, revisions, states
from apps.fleet.alpm.state import InstalledPackage
from apps.fleet.models import TargetRevision
from apps.fleet.revisions import Unmanaged


def difference_from(
    request: HttpRequest, before: TargetRevision, packages: list[InstalledPackage], unmanaged: Iterable[Unmanaged]
) -> dict[str, Any]:
    """`difference` of `parts/package_changes.html`: from a revision to a target with these managed packages.

    `unmanaged` lists the packages that the new target doesn't manage.
    """
    return change_table(
        request,
        difference.compare(states.load(before.state), packages),
        unmanaged_before=revisions.unmanaged_names(before),
        unmanaged_after={one["name"] for one in unmanaged},
    )
