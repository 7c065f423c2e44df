"""The revisions of a pool's target: one revision and its packages; approving, confirming and going back to it."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from apps.dashboard.presentation.forecast_tables import forecast_table
from apps.dashboard.presentation.package_changes import by_reason
from apps.dashboard.requests.action_responses import attempt, confirmation_page, succeeded
from apps.dashboard.requests.forms import ExpectedTargetForm, TargetForm
from apps.dashboard.requests.permissions import actor, operator, viewer
from apps.dashboard.requests.pool_by_name import pool_named
from apps.dashboard.views.packages.lists import package_table
from apps.dashboard.views.targets.differences import difference_from
from apps.fleet import (
    checksums,
    forecast,
    package_list,
    pool_alarms,
    pool_manager,
    proposed,
    revisions,
    signed_revisions,
    states,
    target_files,
)
from apps.fleet.models import Endpoint, Pool, TargetRevision

# How many packages whose file changed are listed on a revision's page.
FILES_SHOWN = 50


def _pool(name: str) -> Pool:
    return pool_named(Pool.objects.select_related("target__state"), name)


def _number(pool: Pool) -> int:
    return pool.target.number if pool.target else 0


@viewer
@require_http_methods(["GET", "HEAD"])
def revision(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """One revision: what going back to it would change; while it waits for an approval, what it changes."""
    pool = _pool(name)
    found = get_object_or_404(pool.revisions.select_related("pool", "state", "source_endpoint", "files"), number=number)
    current = found.pk == pool.target_id
    context = {
        "section": "fleet",
        "pool": pool,
        "revision": found,
        "current": current,
        "needs_approval": current and pool.target_needs_approval,
        "form": TargetForm(initial={"expected_number": _number(pool)}),
        "digest": revisions.digest(found),
        "mirrors": revisions.mirrors_of(found),
        "unmanaged": by_reason(found.unmanaged) if found.unmanaged is not None else None,
        "conflicts": checksums.conflicts_of(found),
        "alarms": pool_alarms.of([pool])[pool.pk] if current else [],
        **_signature(found),
        **_forecast(pool, found, current),
        **_comparison(request, pool, found, current),
    }
    return render(request, "pacsync/targets/revision.html", context)


def _signature(revision: TargetRevision) -> dict[str, Any]:
    """The revision's signature; without one, how many machines of its pool refuse it."""
    signature = signed_revisions.of(revision)
    members = Endpoint.objects.filter(pool=revision.pool_id, signing__isnull=False)
    return {
        "signature": signature,
        "signature_is_good": revision.signed_until is not None and revision.signed_until > timezone.now(),
        "follow_signed": 0 if signature else members.count(),
    }


def _forecast(pool: Pool, revision: TargetRevision, current: bool) -> dict[str, Any]:
    """What going back to the revision, or approving it, would do to the machines; nothing for an approved target."""
    if current and not pool.target_needs_approval:
        return {}
    what = proposed.of_revision(revision)
    verb = "approving" if current else "going back to"
    return {
        "forecast": forecast_table(pool, what, forecast.of(pool, what)),
        "forecast_heading": f"What {verb} #{revision.number} would do to the machines",
    }


def _comparison(request: HttpRequest, pool: Pool, revision: TargetRevision, current: bool) -> dict[str, Any]:
    """The difference to the target before, or to the current target: packages, and files under the same version."""
    before = _compared_with(pool, revision)
    if before is None:
        return {}
    files = target_files.compare(before, revision)
    return {
        "before": before,
        "before_text": f"#{before.number}" if current else "Current target",
        "after_text": f"#{revision.number}" if current else f"Revision #{revision.number}",
        "difference": difference_from(request, before, states.load(revision.state), revision.unmanaged or []),
        "changed_files": files[:FILES_SHOWN],
        "more_files": max(0, len(files) - FILES_SHOWN),
    }


def _compared_with(pool: Pool, revision: TargetRevision) -> TargetRevision | None:
    """The pool's target. The target itself is compared with the last approved one while it waits for an approval."""
    if revision.pk != pool.target_id:
        return pool.target
    if not pool.target_needs_approval:
        return None
    earlier = pool.revisions.filter(approved=True, number__lt=revision.number)
    return earlier.select_related("state", "files").order_by("-number").first()


@viewer
@require_safe
def packages(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """All packages that a revision manages, page by page, each with its file."""
    pool = _pool(name)
    found = get_object_or_404(pool.revisions.select_related("state"), number=number)
    context = {
        "section": "fleet",
        "pool": pool,
        "revision": found,
        **package_table(request, package_list.of_revision(found)),
    }
    return render(request, "pacsync/targets/revision_packages.html", context)


@operator
@require_http_methods(["POST"])
def approve(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """POST approves a target that an endpoint has set, so that automatic sync acts on it."""
    pool = _pool(name)
    if succeeded(request, lambda: pool_manager.approve(pool=pool, number=number, actor=actor(request))):
        messages.success(request, f"Target #{number} of {name} was approved.")
    return redirect("revision", name=name, number=number)


@operator
@require_http_methods(["GET", "HEAD", "POST"])
def confirm(request: HttpRequest, name: str) -> HttpResponse:
    """GET asks; POST confirms the current target after the database was restored, unless it has changed since."""
    pool = _pool(name)
    form = ExpectedTargetForm(request.POST or None, initial={"expected_number": _number(pool)})
    if pool.paused_by is None:
        messages.info(request, "Automatic sync is not paused: there is nothing to confirm.")
        return redirect("pool", name=name)
    if request.method == "POST" and form.is_valid():
        confirmed = attempt(request, lambda: pool_manager.confirm(pool=pool, actor=actor(request), **form.cleaned_data))
        if confirmed:
            messages.success(request, f"Confirmed: the target of {name} is #{_number(confirmed)}.")
        return redirect("pool", name=name)
    target = f"target #{pool.target.number}" if pool.target else "no target"
    return confirmation_page(
        request,
        heading=f"Confirm the target of {name}?",
        text=f"Endpoint {pool.paused_by['endpoint']} has seen target #{pool.paused_by['number']}, but this server has "
        f"{target}. So revisions were lost, most likely because the database was restored from a backup. If you "
        "confirm, the current target stays the target, as a new revision. Its number is higher than any that an "
        "endpoint has seen. Automatic sync then continues, and may downgrade endpoints. If you want another target, "
        "set it first.",
        form=form,
        button="Confirm the target",
        back=reverse("pool", args=[name]),
        section="fleet",
    )


@operator
@require_http_methods(["POST"])
def go_back(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """POST makes the revision's packages the target again, unless the target has changed since."""
    pool = _pool(name)
    form = TargetForm(request.POST)
    if not form.is_valid():
        messages.error(request, "The comment is too long, or the form was incomplete. Nothing was changed.")
        return redirect("revision", name=name, number=number)
    made = attempt(
        request, lambda: pool_manager.go_back(pool=pool, number=number, actor=actor(request), **form.cleaned_data)
    )
    if made is None:
        return redirect("revision", name=name, number=number)
    messages.success(request, f"Target #{made.number} of {made.pool.name} was set.")
    return redirect("pool", name=name)
