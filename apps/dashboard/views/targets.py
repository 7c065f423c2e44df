"""Choosing a pool's target: from an endpoint, or back to an earlier revision; each with what it would change."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from apps.dashboard.access import actor, reader, staff
from apps.dashboard.answers import attempt
from apps.dashboard.forms import TargetForm, UnsoundSourceForm
from apps.dashboard.reading import page_of, shown
from apps.fleet import difference, examination, pool_manager, states
from apps.fleet.alpm.state import InstalledPackage
from apps.fleet.models import Endpoint, Pool, TargetRevision

PER_PAGE = 50


def _pool(name: str) -> Pool:
    return get_object_or_404(Pool.objects.select_related("target__state"), name=name)


def _number(pool: Pool) -> int:
    return pool.target.number if pool.target else 0


def _difference(request: HttpRequest, pool: Pool, packages: list[InstalledPackage]) -> dict[str, Any]:
    """From the pool's present target, if there is one, to these packages."""
    present = states.load(pool.target.state) if pool.target else []
    return shown(request, difference.compare(present, packages))


def _say(request: HttpRequest, revision: TargetRevision, new: bool) -> None:
    if new:
        messages.success(request, f"Target #{revision.number} of {revision.pool.name} was set.")
    else:
        messages.info(
            request, f"Nothing was changed: target #{revision.number} of {revision.pool.name} has exactly that."
        )


def _saved(request: HttpRequest, pool: Pool, revision: TargetRevision | None) -> bool:
    if revision:
        _say(request, revision, True)
    return revision is not None


@staff
@require_safe
def choose(request: HttpRequest, name: str) -> HttpResponse:
    """The endpoints of the pool, to choose the one whose packages become the target."""
    pool = _pool(name)
    q = request.GET.get("q", "").strip().replace("\0", "")
    found = Endpoint.objects.filter(pool=pool, name__icontains=q).order_by("name")
    page = page_of(request, found.select_related("state").defer("state__packages"), PER_PAGE)
    return render(request, "pacsync/choose_target.html", {"section": "fleet", "pool": pool, "page": page, "q": q})


@staff
@require_http_methods(["GET", "HEAD", "POST"])
def set_from_endpoint(request: HttpRequest, name: str, endpoint: str) -> HttpResponse:
    """GET shows what would change, and what the endpoint's examination found; POST makes its packages the target.

    Not if somebody else set it meanwhile, nor from a source that isn't sound, unless that may be forced and is.
    """
    pool = _pool(name)
    source = get_object_or_404(Endpoint.objects.select_related("state"), pool=pool, name=endpoint)
    found = examination.of(source)
    kind = UnsoundSourceForm if found.forcible else TargetForm
    form = kind(request.POST or None, initial={"expected_number": _number(pool)})
    if request.method == "POST" and form.is_valid():
        made = attempt(
            request,
            lambda: pool_manager.set_target(pool=pool, endpoint=source, actor=actor(request), **form.cleaned_data),
        )
        if made is None:
            return redirect(request.path)
        _say(request, *made)
        return redirect("pool", name=name)
    packages = attempt(request, lambda: pool_manager.shareable(pool=pool, endpoint=source))
    if packages is None:
        return redirect("choose_target", name=name)
    context = {
        "section": "fleet",
        "pool": pool,
        "endpoint": source,
        "form": form,
        "examination": found,
        "count": len(packages),
        "next_number": _number(pool) + 1,
        "difference": _difference(request, pool, packages) if pool.target else None,
    }
    return render(request, "pacsync/set_target.html", context, status=422 if form.errors else 200)


@reader
@require_http_methods(["GET", "HEAD"])
def revision(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """One revision, and what going back to it would change."""
    pool = _pool(name)
    found = get_object_or_404(pool.revisions.select_related("state", "source_endpoint"), number=number)
    current = found.pk == pool.target_id
    context = {
        "section": "fleet",
        "pool": pool,
        "revision": found,
        "current": current,
        "number_text": f"#{number}",
        "form": TargetForm(initial={"expected_number": _number(pool)}),
        "difference": None if current else _difference(request, pool, states.load(found.state)),
    }
    return render(request, "pacsync/revision.html", context)


@staff
@require_http_methods(["POST"])
def go_back(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """POST makes the revision's packages the target again, if nobody else set it meanwhile."""
    pool = _pool(name)
    form = TargetForm(request.POST)
    if not form.is_valid():
        messages.error(request, "The comment is too long, or the form was incomplete. Nothing was changed.")
        return redirect("revision", name=name, number=number)
    made = attempt(
        request, lambda: pool_manager.go_back(pool=pool, number=number, actor=actor(request), **form.cleaned_data)
    )
    return (
        redirect("pool", name=name) if _saved(request, pool, made) else redirect("revision", name=name, number=number)
    )
