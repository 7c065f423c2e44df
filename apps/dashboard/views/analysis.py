"""Repository analysis of a pool: what its endpoints could install, and what they have of its target."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.dashboard.access import reader
from apps.dashboard.forecast_look import cut
from apps.dashboard.list_query import ListQuery
from apps.dashboard.pools_by_name import pool_named
from apps.dashboard.reading import page_of
from apps.fleet import analysis as repositories
from apps.fleet.exceptions import FeatureDisabled
from apps.fleet.models import Pool

PER_PAGE = 50


@reader
@require_safe
def analysis(request: HttpRequest, name: str) -> HttpResponse:
    """`q` narrows the packages, `name` the endpoints; each table is paged by a parameter of its own."""
    pool = pool_named(Pool.objects.select_related("target__state"), name)
    query = ListQuery(request)
    q, part = query.text("q"), query.text("name").lower()
    context: dict[str, Any] = {"section": "fleet", "pool": pool, "query": query}
    try:
        found = repositories.analyse(pool=pool)
    except FeatureDisabled as refusal:
        return render(request, "pacsync/analysis.html", context | {"refusal": str(refusal)})
    conflicts = page_of(request, [one for one in found.conflicts if q in one.name], PER_PAGE, "conflicts")
    machines = [one for one in found.availability if part in one.endpoint.lower()]
    availability = page_of(request, machines, PER_PAGE, "machines")
    context |= {
        "found": found,
        "unreported": cut(found.unreported),
        "excluded": cut(found.excluded),
        "conflicts": conflicts,
        "versions": [(one.name, [(version, cut(who)) for version, who in one.versions.items()]) for one in conflicts],
        "availability": availability,
        "machines": [(one, cut(one.other), cut(one.missing)) for one in availability],
        "whole": sum(not one.other and not one.missing for one in found.availability),
    }
    return render(request, "pacsync/analysis.html", context)
