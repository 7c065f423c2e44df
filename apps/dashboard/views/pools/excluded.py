"""What the patterns of a pool's excluded packages match, in its target and on its machines. Others can be tried."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.dashboard.presentation.name_lists import NameList, shorten
from apps.dashboard.requests.list_query import ListQuery
from apps.dashboard.requests.pagination import page_of
from apps.dashboard.requests.permissions import viewer
from apps.dashboard.requests.pool_by_name import pool_named
from apps.fleet import exclusions
from apps.fleet.exceptions import InvalidPattern
from apps.fleet.exclusions import Match
from apps.fleet.models import Pool

PER_PAGE = 50


def _line(match: Match) -> dict[str, Any]:
    names: dict[str, NameList] = {"managed": shorten(match.managed), "left_out": shorten(match.left_out)}
    return {"match": match, "machines": shorten(match.machines.items()), **names}


@viewer
@require_safe
def excluded(request: HttpRequest, name: str) -> HttpResponse:
    """Each pattern with what it matches now; `try` is a pattern that isn't the pool's yet."""
    pool = pool_named(Pool.objects.select_related("target__state"), name)
    tried, refusal = ListQuery(request).text("try"), ""
    try:
        asked = exclusions.checked([tried]) if tried else []
    except InvalidPattern as error:
        asked, refusal = [], str(error).removeprefix(f"{exclusions.FIELD}: ")
    page = page_of(request, pool.excluded_packages, PER_PAGE)
    patterns = list(dict.fromkeys([*asked, *page]))
    lines = {match.pattern: _line(match) for match in exclusions.matches(pool, patterns)}
    context = {
        "section": "fleet",
        "pool": pool,
        "page": page,
        "lines": [lines[pattern] for pattern in page],
        "tried": tried,
        "would": [lines[pattern] for pattern in asked],
        "refusal": refusal,
    }
    return render(request, "pacsync/pools/excluded.html", context, status=422 if refusal else 200)
