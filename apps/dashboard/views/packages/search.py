"""Packages of the whole fleet: the search, and one package's versions and the endpoints that have them."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from apps.dashboard.presentation.endpoint_rows import pool_names
from apps.dashboard.requests.list_query import ListQuery
from apps.dashboard.requests.pagination import page_of
from apps.dashboard.requests.permissions import viewer
from apps.fleet import package_questions
from apps.fleet.exceptions import Invalid
from apps.fleet.package_questions import EndpointVersion, Question

PER_PAGE = 50
VERSION_FILTERS = ("older_than", "newer_than", "version")


@viewer
@require_safe
def search(request: HttpRequest) -> HttpResponse:
    """The packages with `q` in their name. If there is only one, its page."""
    q = ListQuery(request).text("q")
    page = page_of(request, package_questions.search(q) if q else [], PER_PAGE)
    if page.paginator.count == 1:
        return redirect("package", name=page.object_list[0])
    return render(request, "pacsync/packages/search.html", {"section": "packages", "q": q, "page": page})


@viewer
@require_safe
def package(request: HttpRequest, name: str) -> HttpResponse:
    """The package's versions by pool, and the endpoints that the filter finds."""
    query = ListQuery(request)
    bounds = {name: query.text(name) or None for name in VERSION_FILTERS}
    question = Question(missing=bool(query.text("missing")), pool=query.pool() or None, **bounds)
    found, refusal = _endpoints(name, question)
    context: dict[str, Any] = {
        "section": "packages",
        "name": name,
        "in_fleet": package_questions.in_fleet(name),
        "question": question,
        "query": query,
        "refusal": refusal,
        "page": page_of(request, found, PER_PAGE),
        "pool_names": pool_names(),
    }
    return render(request, "pacsync/packages/package.html", context, status=422 if refusal else 200)


def _endpoints(name: str, question: Question) -> tuple[list[EndpointVersion], str]:
    """The endpoints, or why the question makes no sense."""
    try:
        return package_questions.endpoints(name, question), ""
    except Invalid as refusal:
        return [], str(refusal)
