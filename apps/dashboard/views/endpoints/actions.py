"""Actions on one endpoint: sync, revert, resume, assign, rights, forget. The managers say when one is allowed."""

import uuid

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from apps.dashboard.presentation.package_changes import change_table
from apps.dashboard.requests.action_responses import attempt, attempt_as_shown, confirmation_page, succeeded
from apps.dashboard.requests.forms import INCOMPLETE, AssignForm, OperationForm, RightsForm
from apps.dashboard.requests.permissions import actor, operator
from apps.fleet import endpoint_manager, expected_values, goals, paused_automatic_sync, sync_coordinator
from apps.fleet.models import Endpoint, OperationKind
from apps.lifecycle.ages import moment_text


def _queue(request: HttpRequest, endpoint: Endpoint, kind: OperationKind, *, return_to: str) -> HttpResponse:
    """Queue the operation that the person saw, and show it. If it would be another, go back to the page `return_to`."""
    form = OperationForm(request.POST)
    page = reverse("endpoint", args=[endpoint.name])
    if not form.is_valid():
        messages.error(request, INCOMPLETE)
        return redirect(return_to)
    key, expected = str(form.cleaned_data["idempotency_key"]), form.cleaned_data["shown"]
    created = attempt_as_shown(
        request,
        lambda: sync_coordinator.create_operation(
            endpoint=endpoint,
            kind=kind,
            actor=actor(request),
            idempotency_key=key,
            goal_of=expected_values.goal_of(sync_coordinator.GOALS[kind], expected),
        ),
        if_changed=return_to,
        if_refused=page,
    )
    if isinstance(created, HttpResponse):
        return created
    messages.success(request, f"Queued. {endpoint.name} starts it at its next check-in.")
    return redirect("operation", id=created[0].pk)


@operator
@require_POST
def sync(request: HttpRequest, name: str) -> HttpResponse:
    """Bring the endpoint to its pool's target."""
    endpoint = get_object_or_404(Endpoint, name=name)
    return _queue(request, endpoint, OperationKind.SYNC, return_to=reverse("endpoint", args=[name]))


@operator
@require_http_methods(["GET", "HEAD", "POST"])
def revert(request: HttpRequest, name: str) -> HttpResponse:
    """GET shows what would change; POST reverts the endpoint's last sync."""
    endpoint = get_object_or_404(Endpoint.objects.with_target(), name=name)
    if request.method == "POST":
        return _queue(request, endpoint, OperationKind.REVERT, return_to=reverse("revert_endpoint", args=[name]))
    goal = attempt(request, lambda: goals.revert_goal(endpoint))
    if goal is None or goal.reverts is None:
        return redirect("endpoint", name=name)
    return confirmation_page(
        request,
        heading=f"Revert the last sync of {name}?",
        text=f"The packages go back to their state before the sync that finished at "
        f"{moment_text(goal.reverts.finished)}. Foreign, held and excluded packages stay as they are.",
        difference=change_table(request, goal.changes),
        form=OperationForm(initial={"idempotency_key": uuid.uuid4(), "shown": expected_values.value_of(goal)}),
        button="Revert it",
        back=reverse("endpoint", args=[name]),
        section="endpoints",
    )


@operator
@require_POST
def resume(request: HttpRequest, name: str) -> HttpResponse:
    """Resume automatic sync where it rests."""
    endpoint = get_object_or_404(Endpoint, name=name)
    if attempt(request, lambda: paused_automatic_sync.resume(endpoint=endpoint, actor=actor(request))):
        messages.success(request, f"Automatic sync of {name} resumes at its next check-in.")
    return redirect("endpoint", name=name)


@operator
@require_POST
def assign(request: HttpRequest, name: str) -> HttpResponse:
    """Move the endpoint to the chosen pool, or out of its pool."""
    endpoint = get_object_or_404(Endpoint, name=name)
    form = AssignForm(request.POST)
    if not form.is_valid():
        messages.error(request, "This pool no longer exists.")
    else:
        pool = form.cleaned_data["pool"]
        if attempt(request, lambda: endpoint_manager.assign(endpoint=endpoint, pool=pool, actor=actor(request))):
            messages.success(request, f"{name} is now in {'pool ' + pool.name if pool else 'no pool'}.")
    return redirect("endpoint", name=name)


@operator
@require_POST
def rights(request: HttpRequest, name: str) -> HttpResponse:
    """Give the endpoint the right to set its pool's target, or take it away."""
    endpoint = get_object_or_404(Endpoint, name=name)
    form = RightsForm(request.POST)
    may = form.is_valid() and form.cleaned_data["may_set_targets"]
    if attempt(
        request,
        lambda: endpoint_manager.change_rights(endpoint=endpoint, may_set_targets=may, actor=actor(request)),
    ):
        messages.success(request, f"{name} may {'now' if may else 'no longer'} set the target of its pool.")
    return redirect("endpoint", name=name)


@operator
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, name: str) -> HttpResponse:
    """GET asks; POST forgets the endpoint."""
    endpoint = get_object_or_404(Endpoint, name=name)
    if request.method != "POST":
        return confirmation_page(
            request,
            heading=f"Forget endpoint {name}?",
            text="Its history, operations and token are deleted. The machine keeps its packages and its agent, but the "
            "server refuses the agent's token. To come back, the machine has to enrol again.",
            button="Forget the endpoint",
            danger=True,
            back=reverse("endpoint", args=[name]),
            section="endpoints",
        )
    if not succeeded(request, lambda: endpoint_manager.delete_endpoint(endpoint=endpoint, actor=actor(request))):
        return redirect("endpoint", name=name)
    messages.success(request, f"Endpoint {name} was forgotten.")
    return redirect("endpoints")
