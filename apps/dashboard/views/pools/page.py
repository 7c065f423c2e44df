"""One pool's page: its endpoints with their status, its target revisions, its policy."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.dashboard.presentation import vulnerabilities
from apps.dashboard.presentation.endpoint_rows import FIELDS, count_of_pool, rows
from apps.dashboard.presentation.forecast_tables import queued_syncs_notice
from apps.dashboard.requests.pagination import page_of
from apps.dashboard.requests.permissions import viewer
from apps.dashboard.requests.pool_by_name import pool_named
from apps.fleet import after_sync, last_results, pool_alarms, queued_syncs
from apps.fleet.models import Endpoint, Pool
from apps.vulnerabilities.selection import Selection

PER_PAGE = 50
REVISIONS_PER_PAGE = 10
SETTERS_SHOWN = 10


@viewer
@require_safe
def detail(request: HttpRequest, name: str) -> HttpResponse:
    """`page` and `revisions` page through the page's two lists."""
    pool = pool_named(Pool.objects.select_related("target"), name)
    members = Endpoint.objects.filter(pool=pool).order_by("name")
    counts = count_of_pool(pool)
    page = page_of(request, members.only(*FIELDS), PER_PAGE)
    revisions = pool.revisions.select_related("source_endpoint").defer("repositories", "unmanaged").order_by("-number")
    context = {
        "section": "fleet",
        "pool": pool,
        "total": sum(counts.values()),
        "queued_syncs": queued_syncs_notice(
            pool, queued_syncs.affected(pool, revision=pool.target_id, of_pool=pool.pk)
        ),
        "alarms": pool_alarms.of([pool])[pool.pk],
        "setters": members.filter(may_set_targets=True).values_list("name", flat=True)[:SETTERS_SHOWN],
        "counts": counts,
        "vulnerabilities": vulnerabilities.of_fleet(Selection(pool=pool.name)),
        "target_vulnerabilities": vulnerabilities.of_target(pool),
        "went_wrong": last_results.went_wrong(members),
        "left_to_do": {code: count for code, count in after_sync.counts(members).items() if count},
        "page": page,
        "rows": rows(page),
        "revisions": page_of(request, revisions, REVISIONS_PER_PAGE, "revisions"),
    }
    return render(request, "pacsync/pools/page.html", context)
