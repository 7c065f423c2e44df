"""Syncing, reverting, assigning and forgetting one endpoint. When that is allowed is for the managers to say."""

import uuid

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from apps.dashboard.access import actor, staff
from apps.dashboard.ages import moment_text
from apps.dashboard.answers import ask, attempt, attempt_as_shown, succeeded
from apps.dashboard.forms import INCOMPLETE, AssignForm, OperationForm, RightsForm
from apps.dashboard.reading import shown
from apps.fleet import as_shown, endpoint_manager, goals, resting, sync_coordinator
from apps.fleet.models import Endpoint


def _start(request: HttpRequest, endpoint: Endpoint, kind: str) -> HttpResponse:
    """Queue the operation that was shown, and show it; the refusal, on the page that showed it."""
    form = OperationForm(request.POST)
    page = reverse("endpoint", args=[endpoint.name])
    asks = page if kind == "sync" else reverse("revert_endpoint", args=[endpoint.name])
    if not form.is_valid():
        messages.error(request, INCOMPLETE)
        return redirect(asks)
    key, shown = str(form.cleaned_data["idempotency_key"]), form.cleaned_data["shown"]
    created = attempt_as_shown(
        request,
        lambda: sync_coordinator.create_operation(
            endpoint=endpoint,
            kind=kind,
            actor=actor(request),
            idempotency_key=key,
            goal_of=as_shown.goal_of(sync_coordinator.GOALS[kind], shown),
        ),
        asks=asks,
        refused=page,
    )
    if isinstance(created, HttpResponse):
        return created
    messages.success(request, f"Queued. {endpoint.name} starts it at its next check-in.")
    return redirect("operation", id=created[0].pk)


@staff
@require_POST
def sync(request: HttpRequest, name: str) -> HttpResponse:
    """Bring the endpoint to its pool's target."""
    return _start(request, get_object_or_404(Endpoint, name=name), "sync")


@staff
@require_http_methods(["GET", "HEAD", "POST"])
def revert(request: HttpRequest, name: str) -> HttpResponse:
    """GET shows what would change; POST takes back the endpoint's last sync."""
    endpoint = get_object_or_404(Endpoint.objects.with_target(), name=name)
    if request.method == "POST":
        return _start(request, endpoint, "revert")
    goal = attempt(request, lambda: goals.revert_goal(endpoint))
    if goal is None or goal.reverts is None:
        return redirect("endpoint", name=name)
    return ask(
        request,
        heading=f"Revert the last sync of {name}?",
        text=f"The packages go back to what they were before the sync that finished at "
        f"{moment_text(goal.reverts.finished)}. Foreign, held and excluded packages stay as they are.",
        difference=shown(request, goal.changes),
        form=OperationForm(initial={"idempotency_key": uuid.uuid4(), "shown": as_shown.key(goal)}),
        button="Revert it",
        back=reverse("endpoint", args=[name]),
        section="endpoints",
    )


@staff
@require_POST
def resume(request: HttpRequest, name: str) -> HttpResponse:
    """Let automatic sync go on where it rests."""
    endpoint = get_object_or_404(Endpoint, name=name)
    if attempt(request, lambda: resting.resume(endpoint=endpoint, actor=actor(request))):
        messages.success(request, f"Automatic sync of {name} goes on at its next check-in.")
    return redirect("endpoint", name=name)


@staff
@require_POST
def assign(request: HttpRequest, name: str) -> HttpResponse:
    """Put the endpoint in the pool that was chosen, or in none."""
    endpoint = get_object_or_404(Endpoint, name=name)
    form = AssignForm(request.POST)
    if not form.is_valid():
        messages.error(request, "That pool does not exist any more.")
    else:
        pool = form.cleaned_data["pool"]
        if attempt(request, lambda: endpoint_manager.assign(endpoint=endpoint, pool=pool, actor=actor(request))):
            messages.success(request, f"{name} is now in {'pool ' + pool.name if pool else 'no pool'}.")
    return redirect("endpoint", name=name)


@staff
@require_POST
def rights(request: HttpRequest, name: str) -> HttpResponse:
    """Give the endpoint the right to set its pool's target, or take it."""
    endpoint = get_object_or_404(Endpoint, name=name)
    form = RightsForm(request.POST)
    may = form.is_valid() and form.cleaned_data["may_set_targets"]
    if attempt(
        request,
        lambda: endpoint_manager.change_rights(endpoint=endpoint, may_set_targets=may, actor=actor(request)),
    ):
        messages.success(request, f"{name} may {'' if may else 'not '}set the target of its pool now.")
    return redirect("endpoint", name=name)


@staff
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, name: str) -> HttpResponse:
    """GET asks; POST forgets the endpoint."""
    endpoint = get_object_or_404(Endpoint, name=name)
    if request.method != "POST":
        return ask(
            request,
            heading=f"Forget endpoint {name}?",
            text="Its history, its operations and its token go with it. The machine keeps its packages and its agent, "
            "whose token is then refused; to come back it has to enrol again.",
            button="Forget the endpoint",
            danger=True,
            back=reverse("endpoint", args=[name]),
            section="endpoints",
        )
    if not succeeded(request, lambda: endpoint_manager.delete_endpoint(endpoint=endpoint, actor=actor(request))):
        return redirect("endpoint", name=name)
    messages.success(request, f"Endpoint {name} was forgotten.")
    return redirect("endpoints")
