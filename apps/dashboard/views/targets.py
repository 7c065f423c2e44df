"""Choosing a pool's target: from an endpoint, or back to an earlier revision; each with what it would change."""

from collections.abc import Iterable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from apps.dashboard.access import actor, reader, staff
from apps.dashboard.answers import ask, attempt, succeeded
from apps.dashboard.forecast_look import told
from apps.dashboard.forms import ExpectedForm, SourceForm, TargetForm, UnsoundSourceForm
from apps.dashboard.pools_by_name import pool_named
from apps.dashboard.reading import by_reason, page_of, shown
from apps.dashboard.views.package_lists import narrowed
from apps.fleet import (
    checksums,
    difference,
    examination,
    forecast,
    package_list,
    pool_alarms,
    pool_manager,
    proposed,
    protection,
    revisions,
    states,
    target_files,
)
from apps.fleet.alpm.state import InstalledPackage
from apps.fleet.models import Endpoint, Pool, TargetRevision
from apps.fleet.revisions import Unmanaged

PER_PAGE = 50
# So many packages whose file changed are listed on a revision's page.
FILES_SHOWN = 50


def _pool(name: str) -> Pool:
    return pool_named(Pool.objects.select_related("target__state"), name)


def _number(pool: Pool) -> int:
    return pool.target.number if pool.target else 0


def difference_from(
    request: HttpRequest, before: TargetRevision, packages: list[InstalledPackage], unmanaged: Iterable[Unmanaged]
) -> dict[str, Any]:
    """From this revision to these packages, beside which those names are left alone."""
    return shown(
        request,
        difference.compare(states.load(before.state), packages),
        unmanaged_before=revisions.unmanaged_names(before),
        unmanaged_after={one["name"] for one in unmanaged},
    )


def _compared_with(pool: Pool, revision: TargetRevision) -> TargetRevision | None:
    """What the page of a revision compares it with: the pool's target; for that itself, while it waits for an
    approval, the last approved one before it."""
    if revision.pk != pool.target_id:
        return pool.target
    if not pool.target_needs_approval:
        return None
    earlier = pool.revisions.filter(approved=True, number__lt=revision.number)
    return earlier.select_related("state", "files").order_by("-number").first()


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

    Not if somebody else set it meanwhile, nor if the endpoint would give another target by now, nor from a source that
    isn't sound, unless that may be forced and is.
    """
    pool = _pool(name)
    source = get_object_or_404(Endpoint.objects.select_related("state"), pool=pool, name=endpoint)
    found = examination.of(source)
    kind = UnsoundSourceForm if found.forcible else SourceForm
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
    proposal = attempt(request, lambda: pool_manager.propose(pool=pool, endpoint=source))
    if proposal is None:
        return redirect("choose_target", name=name)
    form.initial["expected_digest"] = proposal.digest
    what = proposed.of_endpoint(pool, source, proposal)
    context = {
        "section": "fleet",
        "pool": pool,
        "endpoint": source,
        "form": form,
        "examination": found,
        "refusing": protection.refusing_target(
            pool,
            names=what.names,
            unmanaged=proposal.unmanaged,
            offered=revisions.Offered(what.recorded),
        ),
        "forecast": told(pool, what, forecast.of(pool, what)),
        "count": len(proposal.packages),
        "next_number": max(_number(pool), pool.highest_number) + 1,
        "unmanaged": by_reason(proposal.unmanaged),
        "mirrors": {repository["name"]: repository["mirrors"] for repository in proposal.repositories},
        "conflicts": checksums.conflicts_among(proposal.files),
        "difference": difference_from(request, pool.target, proposal.packages, proposal.unmanaged)
        if pool.target
        else None,
    }
    return render(request, "pacsync/set_target.html", context, status=422 if form.errors else 200)


@reader
@require_http_methods(["GET", "HEAD"])
def revision(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """One revision, and what going back to it would change; while it waits for an approval, what it changes."""
    pool = _pool(name)
    found = get_object_or_404(pool.revisions.select_related("pool", "state", "source_endpoint", "files"), number=number)
    current = found.pk == pool.target_id
    before = _compared_with(pool, found)
    files = target_files.compare(before, found) if before else []
    unmanaged = found.unmanaged or []
    what = proposed.of_revision(found) if not current or pool.target_needs_approval else None
    context = {
        "section": "fleet",
        "pool": pool,
        "revision": found,
        "current": current,
        "needs_approval": current and pool.target_needs_approval,
        "before": before,
        "before_text": f"#{before.number}" if before and current else "Current target",
        "after_text": f"#{number}" if current else f"Revision #{number}",
        "form": TargetForm(initial={"expected_number": _number(pool)}),
        "difference": difference_from(request, before, states.load(found.state), unmanaged) if before else None,
        "forecast": told(pool, what, forecast.of(pool, what)) if what else None,
        "forecast_heading": f"What {'approving' if current else 'going back to'} #{number} would do to the machines",
        "digest": revisions.digest(found),
        "mirrors": revisions.mirrors_of(found),
        "unmanaged": by_reason(found.unmanaged) if found.unmanaged is not None else None,
        "conflicts": checksums.conflicts_of(found),
        "changed_files": files[:FILES_SHOWN],
        "more_files": max(0, len(files) - FILES_SHOWN),
        "alarms": pool_alarms.of([pool])[pool.pk] if current else [],
    }
    return render(request, "pacsync/revision.html", context)


@reader
@require_safe
def packages(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """All that a revision manages, page by page, each package with its file."""
    pool = _pool(name)
    found = get_object_or_404(pool.revisions.select_related("state"), number=number)
    context = {
        "section": "fleet",
        "pool": pool,
        "revision": found,
        **narrowed(request, package_list.of_revision(found)),
    }
    return render(request, "pacsync/revision_packages.html", context)


@staff
@require_http_methods(["POST"])
def approve(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """POST lets automatic sync act on a target that an endpoint set."""
    pool = _pool(name)
    if succeeded(request, lambda: pool_manager.approve(pool=pool, number=number, actor=actor(request))):
        messages.success(request, f"Target #{number} of {name} was approved.")
    return redirect("revision", name=name, number=number)


@staff
@require_http_methods(["GET", "HEAD", "POST"])
def confirm(request: HttpRequest, name: str) -> HttpResponse:
    """GET asks; POST confirms the current target after the database was restored, if nobody set another meanwhile."""
    pool = _pool(name)
    form = ExpectedForm(request.POST or None, initial={"expected_number": _number(pool)})
    if pool.paused_by is None:
        messages.info(request, "Automatic sync is not paused: there is nothing to confirm.")
        return redirect("pool", name=name)
    if request.method == "POST" and form.is_valid():
        confirmed = attempt(request, lambda: pool_manager.confirm(pool=pool, actor=actor(request), **form.cleaned_data))
        if confirmed:
            messages.success(request, f"Confirmed: the target of {name} is #{_number(confirmed)}.")
        return redirect("pool", name=name)
    target = f"target #{pool.target.number}" if pool.target else "no target"
    return ask(
        request,
        heading=f"Confirm the target of {name}?",
        text=f"Endpoint {pool.paused_by['endpoint']} has seen target #{pool.paused_by['number']}, and this server has "
        f"{target}: revisions were lost, most likely because the database was restored from a backup. If you confirm, "
        "what is the target now stays the target, as a revision with a number above all that any endpoint has seen, "
        "and automatic sync goes on: endpoints may be downgraded to it. To have another target, set it first.",
        form=form,
        button="Confirm the target",
        back=reverse("pool", args=[name]),
        section="fleet",
    )


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
