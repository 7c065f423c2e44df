"""The difference between two sets of packages in the API, and what a sync would do. It writes nothing."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from django.http import HttpResponse

from apps.fleet import difference, goals, package_sources, states, sync_preview
from apps.fleet.alpm.state import InstalledPackage
from apps.fleet.models import Endpoint
from apps.fleet.revisions import Unmanaged


def sync_diff_out(endpoint: Endpoint, *, fetch: bool = False) -> HttpResponse:
    """What a sync of the endpoint would do now; `fetch`: with where to get each package.

    Raises NoPool, NoTarget, StateUnknown, Conflict.
    """
    goal = goals.sync_goal(endpoint)
    sync = sync_preview.of_goal(endpoint, goal)
    return diff_out(
        goal.installed,
        goal.packages,
        kept=goal.kept,
        unmanaged=sync.unmanaged,
        refused=[removal._asdict() for removal in sync.refused],
        fetch=package_sources.fetch_for(endpoint, goal.installed, goal.packages, goal.revision) if fetch else None,
    )


def diff_out(
    before: list[InstalledPackage],
    after: list[InstalledPackage],
    *,
    kept: dict[str, list[str]] | None = None,
    unmanaged: Sequence[Unmanaged] = (),
    refused: Sequence[dict[str, str]] = (),
    fetch: Sequence[package_sources.Fetch] | None = None,
) -> HttpResponse:
    """The difference between two sets of packages, in the form of `DiffOut`.

    It is written as JSON here: Ninja would build and check a model for each of 20,000 changes. That took most of the
    time.
    """
    changes = difference.compare(before, after)
    body = {
        "from": states.digest(before),
        "to": states.digest(after),
        "equal": not changes,
        "counts": difference.counts(changes),
        "changes": difference.as_json(changes),
        "kept": kept or {why: [] for why in difference.KEPT},
        "unmanaged": list(unmanaged),
        "refused": list(refused),
        "fetch": None if fetch is None else [asdict(one) for one in fetch],
    }
    return HttpResponse(json.dumps(body), content_type="application/json; charset=utf-8")
