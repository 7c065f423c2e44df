"""The packages of an endpoint and of a state, page by page, with filters."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from apps.dashboard.requests.list_query import ListQuery
from apps.dashboard.requests.pagination import page_of
from apps.dashboard.requests.permissions import viewer
from apps.fleet import package_list, references
from apps.fleet.alpm.state import REASONS
from apps.fleet.exceptions import StateUnknown
from apps.fleet.models import Endpoint, State, TargetRevision
from apps.fleet.package_list import NO_REPOSITORY, Listed, PackageFilter

PER_PAGE = 200
# How many endpoints and revisions with a state are named on its page.
NAMED = 10
EITHER = {"yes": True, "no": False}


@viewer
@require_safe
def of_endpoint(request: HttpRequest, name: str) -> HttpResponse:
    """The packages of the endpoint, by its last report."""
    endpoint = get_object_or_404(Endpoint.objects.select_related("pool__target__state", "state"), name=name)
    try:
        listed = package_list.of_endpoint(endpoint)
    except StateUnknown:
        listed = []
    context = {"section": "endpoints", "endpoint": endpoint, **package_table(request, listed)}
    return render(request, "pacsync/packages/of_endpoint.html", context)


@viewer
@require_safe
def of_state(request: HttpRequest, digest: str) -> HttpResponse:
    """The packages of the state, the endpoints in it, and the target revisions that have it."""
    state = get_object_or_404(State, pk=digest)
    endpoints = Endpoint.objects.filter(state=state).order_by("name")
    revisions = TargetRevision.objects.filter(state=state).select_related("pool").defer("unmanaged", "repositories")
    context = {
        "section": "endpoints",
        "state": state,
        "reference": references.of_state(digest),
        "endpoint_count": endpoints.count(),
        "endpoints": endpoints.values_list("name", flat=True)[:NAMED],
        "revision_count": revisions.count(),
        "revisions": revisions.order_by("pool__name", "-number")[:NAMED],
        **package_table(request, package_list.of_state(state)),
    }
    return render(request, "pacsync/packages/of_state.html", context)


def package_table(request: HttpRequest, listed: list[Listed]) -> dict[str, Any]:
    """For `packages/table.html`: the page of packages that the request asks for, and its filters."""
    query = ListQuery(request)
    wanted = PackageFilter(
        q=query.text("q"),
        reason=query.choice("reason", REASONS) or None,
        foreign=EITHER.get(query.choice("foreign", EITHER)),
        held=EITHER.get(query.choice("held", EITHER)),
        repository=query.text("repository") or None,
    )
    return {
        "page": page_of(request, wanted.among(listed), PER_PAGE),
        "total": len(listed),
        "query": query,
        "reasons": REASONS,
        "either": list(EITHER),
        "repositories": [*((name, name) for name in package_list.repositories_in(listed)), (NO_REPOSITORY, "none")],
    }
