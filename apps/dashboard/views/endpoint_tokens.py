"""Revoking an endpoint's token and giving it a new one. A new token's text exists in one answer only."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from apps.dashboard.access import actor, staff
from apps.dashboard.answers import ask, attempt, succeeded
from apps.fleet import endpoint_manager
from apps.fleet.models import Endpoint


@staff
@require_http_methods(["GET", "HEAD", "POST"])
def revoke(request: HttpRequest, name: str) -> HttpResponse:
    """GET asks; POST locks the endpoint out until it gets a new token."""
    endpoint = get_object_or_404(Endpoint, name=name)
    if request.method != "POST":
        return ask(
            request,
            heading=f"Revoke the token of {name}?",
            text="The server refuses the machine from then on: it can't report, nor carry out an operation, until it "
            "gets a new token. Its right to set targets is gone for good. Its history stays. Pools whose target comes "
            "from it show an alarm.",
            button="Revoke the token",
            danger=True,
            back=reverse("endpoint", args=[name]),
            section="endpoints",
        )
    if succeeded(request, lambda: endpoint_manager.revoke_token(endpoint=endpoint, actor=actor(request))):
        messages.success(request, f"The token of {name} was revoked: the server refuses the machine now.")
    return redirect("endpoint", name=name)


@staff
@require_http_methods(["GET", "HEAD", "POST"])
def rotate(request: HttpRequest, name: str) -> HttpResponse:
    """GET asks; POST makes a new token and shows it in this answer, never again."""
    endpoint = get_object_or_404(Endpoint, name=name)
    if request.method != "POST":
        return ask(
            request,
            heading=f"Give {name} a new token?",
            text="The next page shows the new token, once. The old one is worthless at once: the server refuses the "
            "machine until the new token is in its credentials.json. The right to set targets stays as it is.",
            button="Give a new token",
            back=reverse("endpoint", args=[name]),
            section="endpoints",
        )
    token = attempt(request, lambda: endpoint_manager.rotate_token(endpoint=endpoint, actor=actor(request)))
    if token is None:
        return redirect("endpoint", name=name)
    return render(request, "pacsync/token.html", {"section": "endpoints", "endpoint": endpoint, "token": token})
