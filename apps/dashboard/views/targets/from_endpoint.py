"""Setting a pool's target from an endpoint: choosing the endpoint, and asking with what the target would change."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from apps.dashboard.presentation.forecast_tables import forecast_table
from apps.dashboard.presentation.package_changes import by_reason
from apps.dashboard.requests.action_responses import attempt
from apps.dashboard.requests.forms import SourceForm, UnsoundSourceForm
from apps.dashboard.requests.list_query import ListQuery
from apps.dashboard.requests.pagination import page_of
from apps.dashboard.requests.permissions import actor, operator
from apps.dashboard.requests.pool_by_name import pool_named
from apps.dashboard.views.targets.differences import difference_from
from apps.fleet import checksums, examination, forecast, pool_manager, proposed, protection, revisions
from apps.fleet.models import Endpoint, Pool
from apps.fleet.source_packages import Proposal

PER_PAGE = 50


def _pool(name: str) -> Pool:
    return pool_named(Pool.objects.select_related("target__state"), name)


@operator
@require_safe
def choose(request: HttpRequest, name: str) -> HttpResponse:
    """The endpoints of the pool, to choose the one whose packages become the target."""
    pool, q = _pool(name), ListQuery(request).text("q")
    found = Endpoint.objects.filter(pool=pool, name__icontains=q).order_by("name")
    page = page_of(request, found.select_related("state").defer("state__packages"), PER_PAGE)
    context = {"section": "fleet", "pool": pool, "page": page, "q": q}
    return render(request, "pacsync/targets/choose_endpoint.html", context)


@operator
@require_http_methods(["GET", "HEAD", "POST"])
def set_target(request: HttpRequest, name: str, endpoint: str) -> HttpResponse:
    """GET shows what would change, and what the endpoint's examination found; POST makes its packages the target.

    POST is refused if somebody else has set the target since, if the endpoint would now give another target, and
    if the endpoint isn't a sound source, unless its problems may be overridden and the form says so.
    """
    pool = _pool(name)
    source = get_object_or_404(Endpoint.objects.select_related("state"), pool=pool, name=endpoint)
    found = examination.of(source)
    number = pool.target.number if pool.target else 0
    kind = UnsoundSourceForm if found.forcible else SourceForm
    form = kind(request.POST or None, initial={"expected_number": number})
    if request.method == "POST" and form.is_valid():
        return _set(request, pool, source, form.cleaned_data)
    proposal = attempt(request, lambda: pool_manager.propose(pool=pool, endpoint=source))
    if proposal is None:
        return redirect("choose_target", name=name)
    form.initial["expected_digest"] = proposal.digest
    context = {
        "section": "fleet",
        "pool": pool,
        "endpoint": source,
        "form": form,
        "examination": found,
        "next_number": max(number, pool.highest_number) + 1,
        **_what_it_changes(request, pool, source, proposal),
    }
    return render(request, "pacsync/targets/set.html", context, status=422 if form.errors else 200)


def _set(request: HttpRequest, pool: Pool, source: Endpoint, values: dict[str, Any]) -> HttpResponse:
    made = attempt(request, lambda: pool_manager.set_target(pool=pool, endpoint=source, actor=actor(request), **values))
    if made is None:
        return redirect(request.path)
    revision, new = made
    if new:
        messages.success(request, f"Target #{revision.number} of {pool.name} was set.")
    else:
        messages.info(request, f"Nothing was changed: target #{revision.number} of {pool.name} has these packages.")
    return redirect("pool", name=pool.name)


def _what_it_changes(request: HttpRequest, pool: Pool, source: Endpoint, proposal: Proposal) -> dict[str, Any]:
    what = proposed.of_endpoint(pool, source, proposal)
    return {
        "refusing": protection.refusing_target(
            pool,
            names=what.names,
            unmanaged=proposal.unmanaged,
            offered=revisions.Offered(what.recorded),
        ),
        "forecast": forecast_table(pool, what, forecast.of(pool, what)),
        "count": len(proposal.packages),
        "unmanaged": by_reason(proposal.unmanaged),
        "mirrors": {repository["name"]: repository["mirrors"] for repository in proposal.repositories},
        "conflicts": checksums.conflicts_among(proposal.files),
        "difference": difference_from(request, pool.target, proposal.packages, proposal.unmanaged)
        if pool.target
        else None,
    }
