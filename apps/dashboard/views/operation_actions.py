"""What staff do to an operation: cancel it, run it again. Both ask first, and say what will happen."""

import uuid

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from apps.dashboard import progress_words
from apps.dashboard.access import actor, staff
from apps.dashboard.ages import moment_text
from apps.dashboard.answers import ask, attempt, attempt_as_shown
from apps.dashboard.forms import INCOMPLETE, OperationForm
from apps.dashboard.reading import shown
from apps.fleet import as_shown, progress, protection, running_again, sync_coordinator
from apps.fleet.goals import Goal
from apps.fleet.models import Operation, OperationStatus
from apps.fleet.models.operations import CANCELLABLE, WENT_WRONG

NAMED = 10


def _operation(id: uuid.UUID) -> Operation:
    found = Operation.objects.select_related(
        "endpoint__pool__target__state", "endpoint__state", "revision__pool", "reverts__base_state"
    )
    return get_object_or_404(found, pk=id)


@staff
@require_http_methods(["GET", "HEAD", "POST"])
def cancel(request: HttpRequest, id: uuid.UUID) -> HttpResponse:
    """GET says what will happen; POST cancels the operation, where that is still possible."""
    operation = _operation(id)
    if request.method == "POST":
        if attempt(request, lambda: sync_coordinator.cancel(operation=operation, actor=actor(request))):
            messages.success(request, "The operation was cancelled. Nothing was changed on the endpoint.")
        return redirect("operation", id=id)
    if operation.status not in CANCELLABLE:
        messages.error(request, _why_not(operation))
        return redirect("operation", id=id)
    return ask(
        request,
        heading=f"Cancel the {operation.kind} of {operation.endpoint.name}?",
        text=_what_happens(operation),
        note=_what_rests(operation),
        button="Cancel the operation",
        back_words="Leave it",
        danger=True,
        back=reverse("operation", args=[id]),
        section="operations",
    )


def _why_not(operation: Operation) -> str:
    if operation.status == OperationStatus.APPLYING:
        return (
            f"pacman is at work on {operation.endpoint.name}, and it is never killed: the {operation.kind} can't be "
            "cancelled any more. It comes to its own end."
        )
    return f"There is nothing to cancel: the operation has ended. It is {operation.status}."


def _what_happens(operation: Operation) -> str:
    name = operation.endpoint.name
    if operation.status == OperationStatus.QUEUED:
        return f"{name} has not begun it. Nothing is changed there."
    far = progress.of(operation)
    doing = f" ({progress_words.sentence(far).removesuffix('.')})" if far else ""
    return (
        f"{name} has it and prepares{doing}. Its agent stops with its next heartbeat, within 40 seconds, and in any "
        "case before it starts pacman: nothing is changed there."
    )


def _what_rests(operation: Operation) -> str:
    """What the cancellation means to automatic sync, where that would make this very operation."""
    endpoint, pool = operation.endpoint, operation.endpoint.pool
    to_target = pool is not None and pool.auto_sync and operation.revision_id == pool.target_id is not None
    if pool is None or not to_target or endpoint.state_id != operation.base_state_id:
        return ""
    return (
        f"Automatic sync of {pool.name} then rests on {endpoint.name}, until there is a new target or somebody resumes "
        "it."
    )


@staff
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
        key, seen = str(form.cleaned_data["idempotency_key"]), form.cleaned_data["shown"]
        made = attempt_as_shown(
            request,
            lambda: running_again.run_again(operation=operation, actor=actor(request), idempotency_key=key, shown=seen),
            asks=request.path,
            refused=reverse("operation", args=[id]),
        )
        if isinstance(made, HttpResponse):
            return made
        messages.success(request, f"Queued. {name} starts it at its next check-in.")
        return redirect("operation", id=made[0].pk)
    goal = attempt(request, lambda: running_again.goal(operation))
    if goal is None:
        return redirect("operation", id=id)
    return ask(
        request,
        heading=f"Run the {operation.kind} of {name} again?",
        text=_where_to(operation, goal),
        warning=_refused(operation, goal),
        note=_last_time(operation),
        difference=shown(request, goal.changes),
        form=OperationForm(initial={"idempotency_key": uuid.uuid4(), "shown": as_shown.key(goal)}),
        button="Run it again",
        back_words="Leave it",
        back=reverse("operation", args=[id]),
        section="operations",
    )


def _where_to(operation: Operation, goal: Goal) -> str:
    kept = "What the machine keeps stays as it is."
    if goal.reverts:
        return (
            f"The packages of {operation.endpoint.name} go back to what they were before the sync that was queued at "
            f"{moment_text(goal.reverts.created)}, as they should have with this revert. {kept}"
        )
    revision, before = goal.revision, operation.revision
    if revision is None:
        return kept
    where = f"{operation.endpoint.name} is brought to target #{revision.number} of {revision.pool.name}"
    if before is None or before.pk == revision.pk:
        return f"{where}. {kept}"
    other = "" if before.pool_id == revision.pool_id else f" of {before.pool.name}"
    return f"{where}, the current one. The operation that is run again went to #{before.number}{other}. {kept}"


def _refused(operation: Operation, goal: Goal) -> str:
    """What the machine would say no to."""
    removals = protection.refused_by(operation.endpoint, goal)
    if not removals:
        return ""
    names = ", ".join(removal.name for removal in removals[:NAMED])
    more = f" and {len(removals) - NAMED} more" if len(removals) > NAMED else ""
    return f"The machine would refuse it, because it would remove what it can't do without: {names}{more}."


def _last_time(operation: Operation) -> str:
    if operation.status in CANCELLABLE:
        return "It is tried at once. The operation that waits for its next try is cancelled."
    said = (operation.result or {}).get("message", "").partition("\n")[0]
    if operation.status not in WENT_WRONG or not said:
        return ""
    return f"Last time it {'was lost' if operation.status == OperationStatus.LOST else 'failed'}: {said}"
