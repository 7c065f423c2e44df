"""The package versions that the fleet has more than one file for."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.dashboard.requests.pagination import page_of
from apps.dashboard.requests.permissions import viewer
from apps.fleet.models import ChecksumConflict

PER_PAGE = 50


@viewer
@require_safe
def listing(request: HttpRequest) -> HttpResponse:
    """All of them, by name, page by page."""
    page = page_of(request, ChecksumConflict.objects.order_by("name", "version", "arch"), PER_PAGE)
    return render(request, "pacsync/pools/checksums.html", {"section": "fleet", "page": page})
