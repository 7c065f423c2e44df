"""Enrolling machines: the codes, and the command that uses one. A code's text is shown in one response only."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.db.models import F
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from apps.dashboard.requests.action_responses import attempt_with_form, confirmation_page, succeeded
from apps.dashboard.requests.forms import EnrolmentCodeForm
from apps.dashboard.requests.pagination import page_of
from apps.dashboard.requests.permissions import actor, operator, require, viewer
from apps.fleet import audit, endpoint_manager, enrolment
from apps.fleet.models import EnrolmentCode, Role
from apps.lifecycle.ages import moment_text

PER_PAGE = 50


def enrol_context(request: HttpRequest, code: str, *, again_as: str = "") -> dict[str, Any]:
    """For `enrolment_line.html` and `enrolment_warnings.html`.

    `command` enrols a machine at the address of this request, as the endpoint `again_as` again if one is named.
    `only_here` says that other machines can't reach that address, and `unprotected` is a warning about plain HTTP,
    usually empty.
    """
    url = request.build_absolute_uri("/").rstrip("/")
    return {
        "command": enrolment.command(url, code, again_as=again_as),
        "only_here": enrolment.is_loopback(url),
        "unprotected": enrolment.warning(url),
    }


@viewer
@require_http_methods(["GET", "HEAD", "POST"])
def codes(request: HttpRequest) -> HttpResponse:
    """GET shows the usable codes and, for operators, the form; POST makes a code and shows its text this once."""
    if request.method == "POST":
        require(request, Role.OPERATOR)
    context: dict[str, Any] = {"section": "codes"}
    form = EnrolmentCodeForm(request.POST or None, initial={"pool": request.GET.get("pool")})
    if request.method == "POST" and form.is_valid():
        made = attempt_with_form(
            form, lambda: endpoint_manager.create_enrolment_code(actor=actor(request), **form.cleaned_data)
        )
        if made:
            context |= {"made": made[0], "text": made[1]}
            form = EnrolmentCodeForm()
    usable = EnrolmentCode.objects.filter(expires__gt=Now(), used__lt=F("uses")).select_related("pool")
    page = page_of(request, usable.order_by("-created", "-pk"), PER_PAGE)
    context |= {"form": form, "page": page, "poll": _poll(), **enrol_context(request, context.get("text", "CODE"))}
    return render(request, "pacsync/enrolment_codes.html", context, status=422 if form.errors else 200)


def _poll() -> str:
    """The time between two reports of an agent, for a text after `every`."""
    seconds = settings.POLL_SECONDS
    return "minute" if seconds == 60 else f"{seconds} seconds" if seconds < 120 else f"{round(seconds / 60)} minutes"


@operator
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, id: int) -> HttpResponse:
    """GET asks; POST deletes a code before it expires."""
    code = get_object_or_404(EnrolmentCode.objects.select_related("pool"), pk=id)
    if request.method != "POST":
        return confirmation_page(
            request,
            heading="Delete this enrolment code?",
            text=_what_is_lost(code),
            button="Delete the code",
            danger=True,
            back=reverse("codes"),
            section="codes",
        )
    if succeeded(request, lambda: endpoint_manager.delete_enrolment_code(code=code, actor=actor(request))):
        messages.success(request, "The code was deleted. No machine can enrol with it any more.")
    return redirect("codes")


def _what_is_lost(code: EnrolmentCode) -> str:
    """Who made the code, and what is no longer possible without it."""
    into = f" into pool {code.pool.name}" if code.pool else ""
    made = f"It was made by {audit.display_name(code.author)} at {moment_text(code.created)}."
    left, until = max(0, code.uses - code.used), moment_text(code.expires)
    if not code.used:
        return f"{made} No machine has enrolled with it yet; {left} can{into} until {until}. Once deleted, none can."
    have = f"{code.used} machine has" if code.used == 1 else f"{code.used} machines have"
    return (
        f"{made} {have} enrolled with it, and {left} more can{into} until {until}. Once deleted, no more can. Machines "
        "that have enrolled stay."
    )
