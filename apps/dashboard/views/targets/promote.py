"""Promoting: the current target of another pool becomes the target of this pool, after a page that asks."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from apps.dashboard.presentation.forecast_tables import forecast_table
from apps.dashboard.presentation.package_changes import by_reason
from apps.dashboard.requests.action_responses import attempt
from apps.dashboard.requests.forms import PromoteForm
from apps.dashboard.requests.list_query import ListQuery
from apps.dashboard.requests.pagination import page_of
from apps.dashboard.requests.permissions import actor, operator
from apps.dashboard.requests.pool_by_name import pool_named
from apps.dashboard.views.targets.differences import difference_from
from apps.fleet import checksums, forecast, pool_manager, proposed, revisions, states
from apps.fleet.models import Pool, TargetRevision

PER_PAGE = 50


def _pool(name: str) -> Pool:
    return pool_named(Pool.objects.select_related("target__state", "target__files"), name)


@operator
@require_safe
def choose(request: HttpRequest, name: str) -> HttpResponse:
    """The other pools with a target, to choose the one whose target is promoted."""
    pool, q = _pool(name), ListQuery(request).text("q")
    others = Pool.objects.exclude(pk=pool.pk).filter(target__isnull=False, name__icontains=q).order_by("name")
    found = others.select_related("target__state").defer(
        "target__state__packages", "target__unmanaged", "target__repositories"
    )
    context = {"section": "fleet", "pool": pool, "page": page_of(request, found, PER_PAGE), "q": q}
    return render(request, "pacsync/targets/choose_pool.html", context)


@operator
@require_http_methods(["GET", "HEAD", "POST"])
def promote(request: HttpRequest, name: str, source: str) -> HttpResponse:
    """GET shows what would change; POST promotes, unless one of the two targets has changed since."""
    pool, origin = _pool(name), _pool(source)
    if pool.pk == origin.pk or origin.target is None:
        why = "That is the same pool." if pool.pk == origin.pk else f"Pool {source} has no target yet."
        messages.error(request, why)
        return redirect("choose_promoted", name=name)
    target, number = origin.target, pool.target.number if pool.target else 0
    expected = {"expected_number": number, "expected_source": target.number}
    form = PromoteForm(request.POST or None, initial=expected)
    if request.method == "POST" and form.is_valid():
        made = attempt(
            request,
            lambda: pool_manager.promote(pool=pool, source=origin, actor=actor(request), **form.cleaned_data),
        )
        if made is None:
            return redirect(request.path)
        messages.success(request, f"Target #{made.number} of {name} was set: it is #{target.number} of {source}.")
        return redirect("pool", name=name)
    context = {
        "section": "fleet",
        "pool": pool,
        "origin": origin,
        "form": form,
        "next_number": max(number, pool.highest_number) + 1,
        **_what_it_changes(request, pool, target),
    }
    return render(request, "pacsync/targets/promote.html", context, status=422 if form.errors else 200)


def _what_it_changes(request: HttpRequest, pool: Pool, target: TargetRevision) -> dict[str, Any]:
    what, unmanaged = proposed.of_revision(target), target.unmanaged or []
    return {
        "count": target.state.package_count,
        "forecast": forecast_table(pool, what, forecast.of(pool, what)),
        "conflicts": checksums.conflicts_of(target),
        "unmanaged": by_reason(unmanaged),
        "mirrors": revisions.mirrors_of(target),
        "difference": difference_from(request, pool.target, states.load(target.state), unmanaged)
        if pool.target
        else None,
    }
