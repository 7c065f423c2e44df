"""Actions on an operation: cancel it, run it again. Both ask first and say what will happen."""

import uuid

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from apps.dashboard.presentation import progress_texts
from apps.dashboard.presentation.package_changes import change_table
from apps.dashboard.requests.action_responses import attempt, attempt_as_shown, confirmation_page
from apps.dashboard.requests.forms import INCOMPLETE, OperationForm
from apps.dashboard.requests.permissions import actor, operator
from apps.fleet import expected_values, progress, protection, rerun, sync_coordinator
from apps.fleet.goals import Goal
from apps.fleet.models import Operation, OperationStatus
from apps.fleet.models.operations import CANCELLABLE, WENT_WRONG
from apps.lifecycle.ages import moment_text

REMOVALS_NAMED = 10


def _operation(id: uuid.UUID) -> Operation:
    found = Operation.objects.select_related(
        "endpoint__pool__target__state", "endpoint__state", "revision__pool", "reverts__base_state"
    )
    return get_object_or_404(found, pk=id)


@operator
@require_http_methods(["GET", "HEAD", "POST"])
def cancel(request: HttpRequest, id: uuid.UUID) -> HttpResponse:
    """GET says what will happen; POST cancels the operation if that is still possible."""
    operation = _operation(id)
    if request.method == "POST":
        if attempt(request, lambda: sync_coordinator.cancel(operation=operation, actor=actor(request))):
            messages.success(request, "The operation was cancelled. Nothing was changed on the endpoint.")
        return redirect("operation", id=id)
    if operation.status not in CANCELLABLE:
        messages.error(request, _why_not(operation))
        return redirect("operation", id=id)
    return confirmation_page(
        request,
        heading=f"Cancel the {operation.kind} of {operation.endpoint.name}?",
        text=_what_happens(operation),
        note=_effect_on_automatic_sync(operation),
        button="Cancel the operation",
        back_label="Leave it",
        danger=True,
        back=reverse("operation", args=[id]),
        section="operations",
    )


def _why_not(operation: Operation) -> str:
    if operation.status == OperationStatus.APPLYING:
        return (
            f"pacman is running on {operation.endpoint.name}, and it is never killed. The {operation.kind} can no "
            "longer be cancelled: it runs to its end."
        )
    return f"There is nothing to cancel: the operation has ended. It is {operation.status}."


def _what_happens(operation: Operation) -> str:
    name = operation.endpoint.name
    if operation.status == OperationStatus.QUEUED:
        return f"{name} has not started it. Nothing is changed there."
    reported = progress.of(operation)
    doing = f" ({progress_texts.sentence(reported).removesuffix('.')})" if reported else ""
    return (
        f"{name} has it and prepares{doing}. Its agent stops at its next heartbeat, within 40 seconds, and always "
        "before it starts pacman. Nothing is changed there."
    )


def _effect_on_automatic_sync(operation: Operation) -> str:
    """That automatic sync then rests, where it would otherwise queue this same operation again."""
    endpoint, pool = operation.endpoint, operation.endpoint.pool
    to_target = pool is not None and pool.auto_sync and operation.revision_id == pool.target_id is not None
    if pool is None or not to_target or endpoint.state_id != operation.base_state_id:
        return ""
    return (
        f"Automatic sync of {pool.name} then rests on {endpoint.name} until there is a new target or somebody resumes "
        "it."
    )


@operator
@require_http_methods(["GET", "HEAD", "POST"])
def run_again(request: HttpRequest, id: uuid.UUID) -> HttpResponse:
    """GET shows what a new operation of the same kind would change; POST queues it and shows it."""
    operation = _operation(id)
    name = operation.endpoint.name
    if request.method == "POST":
        form = OperationForm(request.POST)
        if not form.is_valid():
            messages.error(request, INCOMPLETE)
            return redirect(request.path)
        key, expected = str(form.cleaned_data["idempotency_key"]), form.cleaned_data["shown"]
        made = attempt_as_shown(
            request,
            lambda: rerun.run_again(operation=operation, actor=actor(request), idempotency_key=key, expected=expected),
            if_changed=request.path,
            if_refused=reverse("operation", args=[id]),
        )
        if isinstance(made, HttpResponse):
            return made
        messages.success(request, f"Queued. {name} starts it at its next check-in.")
        return redirect("operation", id=made[0].pk)
    goal = attempt(request, lambda: rerun.goal(operation))
    if goal is None:
        return redirect("operation", id=id)
    return confirmation_page(
        request,
        heading=f"Run the {operation.kind} of {name} again?",
        text=_goal_text(operation, goal),
        warning=_refusal_warning(operation, goal),
        note=_last_result(operation),
        difference=change_table(request, goal.changes),
        form=OperationForm(initial={"idempotency_key": uuid.uuid4(), "shown": expected_values.value_of(goal)}),
        button="Run it again",
        back_label="Leave it",
        back=reverse("operation", args=[id]),
        section="operations",
    )


def _goal_text(operation: Operation, goal: Goal) -> str:
    kept = "The packages that the machine keeps stay as they are."
    if goal.reverts:
        return (
            f"The packages of {operation.endpoint.name} go back to their state before the sync that was queued at "
            f"{moment_text(goal.reverts.created)}. This revert had the same goal. {kept}"
        )
    revision, before = goal.revision, operation.revision
    if revision is None:
        return kept
    text = f"{operation.endpoint.name} is brought to target #{revision.number} of {revision.pool.name}"
    if before is None or before.pk == revision.pk:
        return f"{text}. {kept}"
    other = "" if before.pool_id == revision.pool_id else f" of {before.pool.name}"
    return f"{text}, the current one. The earlier operation went to #{before.number}{other}. {kept}"


def _refusal_warning(operation: Operation, goal: Goal) -> str:
    """The packages whose removal the machine would refuse."""
    removals = protection.refused_by(operation.endpoint, goal)
    if not removals:
        return ""
    names = ", ".join(removal.name for removal in removals[:REMOVALS_NAMED])
    more = f" and {len(removals) - REMOVALS_NAMED} more" if len(removals) > REMOVALS_NAMED else ""
    return f"The machine would refuse it, because it removes packages that the machine needs: {names}{more}."


def _last_result(operation: Operation) -> str:
    if operation.status in CANCELLABLE:
        return "It starts at once. The operation that waits for its next try is cancelled."
    said = (operation.result or {}).get("message", "").partition("\n")[0]
    if operation.status not in WENT_WRONG or not said:
        return ""
    return f"Last time it {'was lost' if operation.status == OperationStatus.LOST else 'failed'}: {said}"
