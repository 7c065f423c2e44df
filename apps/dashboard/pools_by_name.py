"""The pool of an address: by its name, or led on from one that it had before. It must not know the pages."""

from typing import Any

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from apps.fleet import renamed
from apps.fleet.models import Pool


class PoolMoved(Exception):
    """A pool was asked for by a former name. `name` is the current one."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def pool_named(pools: "QuerySet[Pool]", name: str) -> Pool:
    """The pool of this name. Raises PoolMoved when it has another one now, Http404."""
    found = pools.filter(name=name).first()
    if found is not None:
        return found
    present = renamed.present_name(name)
    if present is None:
        raise Http404
    raise PoolMoved(present)


def moved(request: HttpRequest, error: PoolMoved) -> HttpResponse:
    """To the same page under the pool's current name. A form isn't sent on: somebody looks at the pool first."""
    match: Any = request.resolver_match
    if request.method not in ("GET", "HEAD") or "name" not in match.kwargs:
        return HttpResponseRedirect(reverse("pool", args=[error.name]))
    address = reverse(match.view_name, kwargs=match.kwargs | {"name": error.name})
    query = request.META.get("QUERY_STRING", "")
    return HttpResponseRedirect(f"{address}?{query}" if query else address)
