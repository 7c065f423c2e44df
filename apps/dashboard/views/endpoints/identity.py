"""Which machine an endpoint is: approving it, letting its machine enrol again, having its token rotated."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from apps.dashboard.requests.action_responses import attempt, confirmation_page, succeeded
from apps.dashboard.requests.permissions import actor, operator
from apps.dashboard.views.enrolment_codes import enrol_context
from apps.fleet import approval, endpoint_tokens
from apps.fleet.models import Endpoint


@operator
@require_POST
def approve(request: HttpRequest, name: str) -> HttpResponse:
    """Let a new endpoint take part."""
    endpoint = get_object_or_404(Endpoint, name=name)
    if succeeded(request, lambda: approval.approve(endpoint=endpoint, actor=actor(request))):
        messages.success(request, f"{name} is approved. It takes part from its next check-in.")
    return redirect("endpoint", name=name)


@operator
@require_http_methods(["GET", "HEAD", "POST"])
def enrol_again(request: HttpRequest, name: str) -> HttpResponse:
    """GET asks; POST makes the code with which one machine enrols again as this endpoint, and shows it this once."""
    endpoint = get_object_or_404(Endpoint, name=name)
    if request.method != "POST":
        return confirmation_page(
            request,
            heading=f"Let a machine enrol again as {name}?",
            text="The next page shows a code, once, and the command that uses it on the machine. The current token "
            "stops working immediately, whoever has it. The endpoint keeps its pool, its history and its operations. "
            "It loses its right to set targets, and what is queued for it is cancelled.",
            button="Make the code",
            back=reverse("endpoint", args=[name]),
            section="endpoints",
        )
    made = attempt(request, lambda: endpoint_tokens.allow_reenrolment(endpoint=endpoint, actor=actor(request)))
    if made is None:
        return redirect("endpoint", name=name)
    code, text = made
    context = {"section": "endpoints", "endpoint": endpoint, "code": code, "text": text}
    context |= enrol_context(request, text, again_as=name)
    return render(request, "pacsync/endpoints/enrol_again.html", context)


@operator
@require_http_methods(["GET", "HEAD", "POST"])
def withdraw_code(request: HttpRequest, name: str) -> HttpResponse:
    """GET asks; POST deletes the code with which a machine could enrol again."""
    endpoint = get_object_or_404(Endpoint, name=name)
    if request.method != "POST":
        return confirmation_page(
            request,
            heading=f"Withdraw the code of {name}?",
            text="No machine can enrol again with it. The token stays revoked: the server refuses the machine until it "
            "enrols with another code.",
            button="Withdraw the code",
            danger=True,
            back=reverse("endpoint", args=[name]),
            section="endpoints",
        )
    if succeeded(request, lambda: endpoint_tokens.withdraw_reenrolment(endpoint=endpoint, actor=actor(request))):
        messages.success(request, f"The code was withdrawn. No machine can enrol again as {name} with it.")
    return redirect("endpoint", name=name)


@operator
@require_http_methods(["GET", "HEAD", "POST"])
def request_rotation(request: HttpRequest, name: str) -> HttpResponse:
    """GET asks; POST asks the agent to rotate its token."""
    endpoint = get_object_or_404(Endpoint, name=name)
    if request.method != "POST":
        return confirmation_page(
            request,
            heading=f"Rotate the token of {name}?",
            text="At its next check-in the agent makes a new token. The old one works until the new one has been used, "
            "so the machine isn't locked out. An older agent doesn't know this and keeps its token. If somebody else "
            "may have the token, let the machine enrol again instead: whoever has a token can rotate it.",
            button="Rotate the token",
            back=reverse("endpoint", args=[name]),
            section="endpoints",
        )
    if succeeded(request, lambda: endpoint_tokens.request_rotation(endpoint=endpoint, actor=actor(request))):
        messages.success(request, f"{name} rotates its token at its next check-in.")
    return redirect("endpoint", name=name)
