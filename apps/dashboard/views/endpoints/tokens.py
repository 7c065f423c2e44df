"""Revoking an endpoint's token, or giving it a new one. A new token is shown in one response only."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from apps.dashboard.requests.action_responses import attempt, confirmation_page, succeeded
from apps.dashboard.requests.permissions import actor, operator
from apps.fleet import endpoint_manager
from apps.fleet.models import Endpoint


@operator
@require_http_methods(["GET", "HEAD", "POST"])
def revoke(request: HttpRequest, name: str) -> HttpResponse:
    """GET asks; POST revokes the token: the server refuses the endpoint until it gets a new one."""
    endpoint = get_object_or_404(Endpoint, name=name)
    if request.method != "POST":
        return confirmation_page(
            request,
            heading=f"Revoke the token of {name}?",
            text="The server then refuses the machine: it can't report or carry out an operation until it gets a "
            "new token. It loses its right to set targets for good, but keeps its history. Pools whose target comes "
            "from it show an alarm.",
            button="Revoke the token",
            danger=True,
            back=reverse("endpoint", args=[name]),
            section="endpoints",
        )
    if succeeded(request, lambda: endpoint_manager.revoke_token(endpoint=endpoint, actor=actor(request))):
        messages.success(request, f"The token of {name} was revoked. The server refuses the machine now.")
    return redirect("endpoint", name=name)


@operator
@require_http_methods(["GET", "HEAD", "POST"])
def rotate(request: HttpRequest, name: str) -> HttpResponse:
    """GET asks; POST makes a new token and shows it this once."""
    endpoint = get_object_or_404(Endpoint, name=name)
    if request.method != "POST":
        return confirmation_page(
            request,
            heading=f"Give {name} a new token?",
            text="The next page shows the new token, once. The old token stops working immediately: the server refuses "
            "the machine until the new token is in its credentials.json. Its right to set targets doesn't change.",
            button="Give a new token",
            back=reverse("endpoint", args=[name]),
            section="endpoints",
        )
    token = attempt(request, lambda: endpoint_manager.rotate_token(endpoint=endpoint, actor=actor(request)))
    if token is None:
        return redirect("endpoint", name=name)
    context = {"section": "endpoints", "endpoint": endpoint, "token": token}
    return render(request, "pacsync/endpoints/token.html", context)
