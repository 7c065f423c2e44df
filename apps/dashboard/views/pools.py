"""One pool: its endpoints with their status, its target revisions, its policy."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.dashboard.access import reader
from apps.dashboard.forecast_look import told_left
from apps.dashboard.pools_by_name import pool_named
from apps.dashboard.reading import counted, page_of, rows, statuses_of
from apps.fleet import going_back, last_results, pool_alarms
from apps.fleet.models import Endpoint, Pool

PER_PAGE = 50
REVISIONS_PER_PAGE = 10
SETTERS_SHOWN = 10


@reader
@require_safe
def detail(request: HttpRequest, name: str) -> HttpResponse:
    """The pool's page; `page` and `revisions` page through its two lists."""
    pool = pool_named(Pool.objects.select_related("target"), name)
    members = Endpoint.objects.filter(pool=pool).order_by("name")
    statuses = statuses_of(members)
    page = page_of(request, members, PER_PAGE)
    revisions = pool.revisions.select_related("source_endpoint").defer("repositories", "unmanaged").order_by("-number")
    context = {
        "section": "fleet",
        "pool": pool,
        "total": len(statuses),
        "left": told_left(pool, going_back.left(pool, revision=pool.target_id, of_pool=pool.pk)),
        "alarms": pool_alarms.of([pool])[pool.pk],
        "setters": members.filter(may_set_targets=True).values_list("name", flat=True)[:SETTERS_SHOWN],
        "counts": counted(status for _, status in statuses.values()),
        "wrong": last_results.went_wrong(members),
        "page": page,
        "rows": rows(page, statuses),
        "revisions": page_of(request, revisions, REVISIONS_PER_PAGE, "revisions"),
    }
    return render(request, "pacsync/pool.html", context)
