"""Promoting: the current target of another pool becomes this pool's, after a look at what that would do."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from apps.dashboard.access import actor, staff
from apps.dashboard.answers import attempt
from apps.dashboard.forecast_look import told
from apps.dashboard.forms import PromoteForm
from apps.dashboard.list_query import ListQuery
from apps.dashboard.pools_by_name import pool_named
from apps.dashboard.reading import by_reason, page_of
from apps.dashboard.views.targets import difference_from
from apps.fleet import checksums, forecast, pool_manager, proposed, revisions, states
from apps.fleet.models import Pool

PER_PAGE = 50


def _pool(name: str) -> Pool:
    return pool_named(Pool.objects.select_related("target__state", "target__files"), name)


@staff
@require_safe
def choose(request: HttpRequest, name: str) -> HttpResponse:
    """The other pools that have a target, to choose the one whose target becomes this pool's."""
    pool, q = _pool(name), ListQuery(request).text("q")
    others = Pool.objects.exclude(pk=pool.pk).filter(target__isnull=False, name__icontains=q).order_by("name")
    found = others.select_related("target__state").defer(
        "target__state__packages", "target__unmanaged", "target__repositories"
    )
    context = {"section": "fleet", "pool": pool, "page": page_of(request, found, PER_PAGE), "q": q}
    return render(request, "pacsync/choose_promoted.html", context)


@staff
@require_http_methods(["GET", "HEAD", "POST"])
def promote(request: HttpRequest, name: str, source: str) -> HttpResponse:
    """GET shows what would change; POST makes it the target, if neither target is another one meanwhile."""
    pool, origin = _pool(name), _pool(source)
    if pool.pk == origin.pk or origin.target is None:
        why = "That is the same pool." if pool.pk == origin.pk else f"The pool {source} has no target yet."
        messages.error(request, why)
        return redirect("choose_promoted", name=name)
    target, number = origin.target, pool.target.number if pool.target else 0
    seen = {"expected_number": number, "expected_source": target.number}
    form = PromoteForm(request.POST or None, initial=seen)
    if request.method == "POST" and form.is_valid():
        made = attempt(
            request,
            lambda: pool_manager.promote(pool=pool, source=origin, actor=actor(request), **form.cleaned_data),
        )
        if made is None:
            return redirect(request.path)
        messages.success(request, f"Target #{made.number} of {name} was set: it is #{target.number} of {source}.")
        return redirect("pool", name=name)
    what = proposed.of_revision(target)
    unmanaged = target.unmanaged or []
    context = {
        "section": "fleet",
        "pool": pool,
        "origin": origin,
        "form": form,
        "next_number": max(number, pool.highest_number) + 1,
        "count": target.state.package_count,
        "forecast": told(pool, what, forecast.of(pool, what)),
        "conflicts": checksums.conflicts_of(target),
        "unmanaged": by_reason(unmanaged),
        "mirrors": revisions.mirrors_of(target),
        "difference": difference_from(request, pool.target, states.load(target.state), unmanaged)
        if pool.target
        else None,
    }
    return render(request, "pacsync/promote.html", context, status=422 if form.errors else 200)
