"""The first page: what needs attention, the state of each pool, the latest events; for a new user, the next steps."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.dashboard.presentation import vulnerabilities
from apps.dashboard.presentation.attention_links import attention_url, bar_parts, has_problems
from apps.dashboard.presentation.audit_phrases import news
from apps.dashboard.presentation.endpoint_rows import split_in_sync
from apps.dashboard.requests.pagination import page_of
from apps.dashboard.requests.permissions import viewer
from apps.dashboard.views.enrolment_codes import enrol_context
from apps.fleet import attention
from apps.fleet.attention import PoolRow, Survey
from apps.fleet.models import ChecksumConflict

POOLS_PER_PAGE = 20
NEWS_LINES = 8


@viewer
@require_safe
def overview(request: HttpRequest) -> HttpResponse:
    """Counts by status, what needs attention, one line for each pool; first steps while there is no target.

    `name` (a part of it) and `pools=attention` filter the pools; `attention=all` shows all attention items.
    """
    survey = Survey()
    items, rows = attention.needs_attention(None, survey=survey), attention.pools_overview(survey=survey)
    shown = items if request.GET.get("attention") == "all" else items[: attention.SHOWN]
    page = page_of(request, _chosen(request, rows), POOLS_PER_PAGE)
    unassigned = sum(survey.counts_of(None).values())
    context: dict[str, Any] = {
        "section": "fleet",
        "counts": split_in_sync(survey.counts, survey.files_differ),
        "attention": [(item, attention_url(item)) for item in shown],
        "attention_total": len(items),
        "page": page,
        "pools": [(row, bar_parts(row)) for row in page],
        "pool_total": len(rows),
        "pools_with_problems": sum(map(has_problems, rows)),
        "many_pools": len(rows) > POOLS_PER_PAGE,
        "name": request.GET.get("name", ""),
        "only_with_problems": request.GET.get("pools") == "attention",
        "vulnerabilities": vulnerabilities.of_fleet() if any(survey.counts.values()) else None,
        "conflict_count": ChecksumConflict.objects.count(),
        "unassigned": unassigned,
        "active": sum(row.running.active for row in rows if row.running),
        "news": news(NEWS_LINES),
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
    return [row for row in rows if part in row.name.lower() and (not only or has_problems(row))]
