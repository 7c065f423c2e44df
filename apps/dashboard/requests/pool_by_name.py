"""The pool of an address, also by a name that it had before. It must not know the pages."""

from typing import Any

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from apps.fleet import former_names
from apps.fleet.models import Pool


class PoolMoved(Exception):
    """The address has a former name of the pool. `name` is the current one."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def pool_named(pools: "QuerySet[Pool]", name: str) -> Pool:
    """The pool with this name. Raises PoolMoved for a former name, Http404 for an unknown one."""
    found = pools.filter(name=name).first()
    if found is not None:
        return found
    current = former_names.current_name(name)
    if current is None:
        raise Http404
    raise PoolMoved(current)


def redirect_to_current_name(request: HttpRequest, error: PoolMoved) -> HttpResponse:
    """To the same page under the current name; for a form, to the pool's page, so that nothing is done unseen."""
    match: Any = request.resolver_match
    if request.method not in ("GET", "HEAD") or "name" not in match.kwargs:
        return HttpResponseRedirect(reverse("pool", args=[error.name]))
    address = reverse(match.view_name, kwargs=match.kwargs | {"name": error.name})
    query = request.META.get("QUERY_STRING", "")
    return HttpResponseRedirect(f"{address}?{query}" if query else address)
