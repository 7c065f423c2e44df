"""The repository analysis of a pool: which versions its endpoints can install, and how much of its target."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.dashboard.presentation.name_lists import shorten
from apps.dashboard.requests.list_query import ListQuery
from apps.dashboard.requests.pagination import page_of
from apps.dashboard.requests.permissions import viewer
from apps.dashboard.requests.pool_by_name import pool_named
from apps.fleet import analysis as repositories
from apps.fleet.exceptions import FeatureDisabled
from apps.fleet.models import Pool

PER_PAGE = 50


@viewer
@require_safe
def analysis(request: HttpRequest, name: str) -> HttpResponse:
    """`q` filters the packages and `name` the endpoints; `conflicts` and `machines` page through the two tables."""
    pool = pool_named(Pool.objects.select_related("target__state"), name)
    query = ListQuery(request)
    q, part = query.text("q"), query.text("name").lower()
    context: dict[str, Any] = {"section": "fleet", "pool": pool, "query": query}
    try:
        found = repositories.analyse(pool=pool)
    except FeatureDisabled as refusal:
        return render(request, "pacsync/pools/analysis.html", context | {"refusal": str(refusal)})
    conflicts = page_of(request, [one for one in found.conflicts if q in one.name], PER_PAGE, "conflicts")
    machines = [one for one in found.availability if part in one.endpoint.lower()]
    availability = page_of(request, machines, PER_PAGE, "machines")
    context |= {
        "found": found,
        "unreported": shorten(found.unreported),
        "excluded": shorten(found.excluded),
        "conflicts": conflicts,
        "versions": [
            (one.name, [(version, shorten(names)) for version, names in one.versions.items()]) for one in conflicts
        ],
        "availability": availability,
        "machines": [(one, shorten(one.other), shorten(one.missing)) for one in availability],
        "complete": sum(not one.other and not one.missing for one in found.availability),
    }
    return render(request, "pacsync/pools/analysis.html", context)
