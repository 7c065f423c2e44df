"""What is on an endpoint, and what is in a state: their packages, page by page, with filters."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from apps.dashboard.access import reader
from apps.dashboard.list_query import ListQuery
from apps.dashboard.reading import page_of
from apps.fleet import package_list, references
from apps.fleet.alpm.state import REASONS
from apps.fleet.exceptions import StateUnknown
from apps.fleet.models import Endpoint, State, TargetRevision
from apps.fleet.package_list import NO_REPOSITORY, Listed, Wanted

PER_PAGE = 200
# So many endpoints and revisions that have a state are named on its page.
NAMED = 10
EITHER = {"yes": True, "no": False}


@reader
@require_safe
def of_endpoint(request: HttpRequest, name: str) -> HttpResponse:
    """What is installed on the endpoint, as it reported it last."""
    endpoint = get_object_or_404(Endpoint.objects.select_related("pool__target__state", "state"), name=name)
    try:
        listed = package_list.of_endpoint(endpoint)
    except StateUnknown:
        listed = []
    context = {"section": "endpoints", "endpoint": endpoint, **narrowed(request, listed)}
    return render(request, "pacsync/endpoint_packages.html", context)


@reader
@require_safe
def of_state(request: HttpRequest, digest: str) -> HttpResponse:
    """What is in the state, and who is in it."""
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
        **narrowed(request, package_list.of_state(state)),
    }
    return render(request, "pacsync/state.html", context)


def narrowed(request: HttpRequest, listed: list[Listed]) -> dict[str, Any]:
    """What `pacsync/package_list.html` shows: the page that the request asks for, and its filters."""
    query = ListQuery(request)
    wanted = Wanted(
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
