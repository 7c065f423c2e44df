"""The first page: is anything wrong, how is each pool, what happened lately; for a new user, what to do next."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.dashboard.access import reader
from apps.dashboard.attention_look import address_of, is_in_trouble, segments
from apps.dashboard.audit_words import lately
from apps.dashboard.reading import by_look, page_of
from apps.dashboard.views.codes import enrol_context
from apps.fleet import attention
from apps.fleet.attention import PoolRow, Survey
from apps.fleet.models import ChecksumConflict

POOLS_PER_PAGE = 20
# So many lines say what happened lately.
LINES = 8


@reader
@require_safe
def overview(request: HttpRequest) -> HttpResponse:
    """Counts by status, what needs attention, one line for each pool; first steps while there is no target.

    `name` (part of it) and `pools=attention` choose pools; `attention=all` shows all that needs attention.
    """
    survey = Survey()
    items, rows = attention.needs_attention(None, survey=survey), attention.pools_overview(survey=survey)
    shown = items if request.GET.get("attention") == "all" else items[: attention.SHOWN]
    page = page_of(request, _chosen(request, rows), POOLS_PER_PAGE)
    unassigned = sum(survey.counts_of(None).values())
    context: dict[str, Any] = {
        "section": "fleet",
        "counts": by_look(survey.counts, survey.files_differ),
        "attention": [(item, address_of(item)) for item in shown],
        "attention_total": len(items),
        "page": page,
        "pools": [(row, segments(row)) for row in page],
        "pool_total": len(rows),
        "troubled": sum(map(is_in_trouble, rows)),
        "many_pools": len(rows) > POOLS_PER_PAGE,
        "name": request.GET.get("name", ""),
        "only_troubled": request.GET.get("pools") == "attention",
        "conflict_count": ChecksumConflict.objects.count(),
        "unassigned": unassigned,
        "active": sum(row.running.active for row in rows if row.running),
        "lately": lately(LINES),
        "has_pools": bool(rows),
        "has_endpoints": any(survey.counts.values()),
        "first_steps": not any(row.target for row in rows),
        "only_pool": rows[0].name if len(rows) == 1 else None,
        **enrol_context(request, "CODE"),
    }
    return render(request, "pacsync/overview.html", context)


def _chosen(request: HttpRequest, rows: list[PoolRow]) -> list[PoolRow]:
    part = request.GET.get("name", "").strip().lower()
    only = request.GET.get("pools") == "attention"
    return [row for row in rows if part in row.name.lower() and (not only or is_in_trouble(row))]
