"""Known vulnerabilities of the fleet: which advisories concern installed packages, and which endpoints have them."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.dashboard.presentation import vulnerabilities
from apps.dashboard.presentation.endpoint_rows import pool_names
from apps.dashboard.requests.list_query import ListQuery
from apps.dashboard.requests.pagination import page_of
from apps.dashboard.requests.permissions import viewer
from apps.fleet.exceptions import FeatureDisabled
from apps.vulnerabilities import findings, selection, tracker_list
from apps.vulnerabilities.selection import LEVELS, Selection
from apps.vulnerabilities.severity import WORDS

ADVISORIES_PER_PAGE = 20
PER_PAGE = 50


@viewer
@require_safe
def listing(request: HttpRequest) -> HttpResponse:
    """`pool` and `worst` narrow both lists, `advisories` and `page` page through them."""
    try:
        tracker_list.check_enabled()
    except FeatureDisabled as refusal:
        return render(request, "pacsync/vulnerabilities/page.html", {"section": "fleet", "refusal": refusal})
    query = ListQuery(request)
    pool, worst = query.pool() or None, query.choice("worst", LEVELS)
    chosen = Selection(pool=pool, worst=worst or None)
    rows = selection.listed_endpoints(chosen).order_by("-state__vulnerabilities__worst", "name")
    page = page_of(request, rows, PER_PAGE)
    context = {
        "section": "fleet",
        "query": query,
        "pool_name": pool,
        "pool_names": pool_names(),
        "severities": [(word, word.replace("_", " ")) for word in LEVELS],
        "worst": worst,
        "worst_label": worst.replace("_", " "),
        "is_affected": not worst or worst in WORDS,
        "known": vulnerabilities.of_fleet(Selection(pool=pool)),
        "advisories": page_of(request, findings.in_fleet(chosen), ADVISORIES_PER_PAGE, "advisories"),
        "page": page,
        "endpoints": [(one, selection.level_of(one)) for one in page],
    }
    return render(request, "pacsync/vulnerabilities/page.html", context)
