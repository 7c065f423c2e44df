"""API tokens: people make, see and revoke their own; administrators see all. A text is shown in one response only."""

from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.models import User
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from apps.dashboard.requests.action_responses import attempt_with_form, confirmation_page, succeeded
from apps.dashboard.requests.forms import ApiTokenForm
from apps.dashboard.requests.pagination import page_of
from apps.dashboard.requests.permissions import actor, viewer
from apps.fleet import roles, tokens
from apps.fleet.models import ApiToken, Role
from apps.fleet.models.credentials import ApiTokenQuerySet
from apps.lifecycle.ages import moment_text

PER_PAGE = 50


def _person(request: HttpRequest) -> User:
    """The person who is logged in: `viewer` lets nobody else in."""
    return cast("User", request.user)


def _role(request: HttpRequest) -> Role:
    """Their role: `viewer` lets nobody in who has none."""
    return cast("Role", roles.role_of(request.user))


def _theirs(request: HttpRequest) -> ApiTokenQuerySet:
    """The tokens that the person may see and revoke."""
    return ApiToken.objects.with_status().of(_person(request).pk, _role(request))


@viewer
@require_http_methods(["GET", "HEAD", "POST"])
def listing(request: HttpRequest) -> HttpResponse:
    """GET shows the tokens and the form; POST makes a token of the person's own and shows its text this once."""
    context: dict[str, Any] = {"section": "tokens"}
    form = ApiTokenForm(request.POST or None, most=_role(request))
    if request.method == "POST" and form.is_valid():
        owner = _person(request)
        made = attempt_with_form(
            form, lambda: tokens.create_api_token(actor=actor(request), owner=owner, **form.cleaned_data)
        )
        if made:
            context |= {"made": made[0], "text": made[1], "example": _example(request, made[1])}
            form = ApiTokenForm(most=_role(request))
    found = _theirs(request).order_by(F("revoked").desc(nulls_first=True), "name")
    context |= {"form": form, "page": page_of(request, found, PER_PAGE)}
    return render(request, "pacsync/api_tokens.html", context, status=422 if form.errors else 200)


def _example(request: HttpRequest, text: str) -> str:
    return f"curl -H 'Authorization: Bearer {text}' {request.build_absolute_uri('/api/v1/pools')}"


@viewer
@require_http_methods(["GET", "HEAD", "POST"])
def revoke(request: HttpRequest, name: str) -> HttpResponse:
    """GET asks; POST revokes a token. One that the person may not see isn't found."""
    token = get_object_or_404(_theirs(request), name=name)
    if request.method != "POST":
        return confirmation_page(
            request,
            heading=f"Revoke the API token {name}?",
            text=_what_is_lost(token),
            button="Revoke the token",
            danger=True,
            back=reverse("api_tokens"),
            section="tokens",
        )
    if succeeded(request, lambda: tokens.revoke_api_token(token=token, actor=actor(request))):
        messages.success(request, f"The API token {name} was revoked. The server refuses it now.")
    return redirect("api_tokens")


def _what_is_lost(token: ApiToken) -> str:
    """Whose token it is, when it was used, and that there is no way back."""
    owner = f"It belongs to {token.owner.get_username()}" if token.owner else "It has no owner"
    used = f"was last used at {moment_text(token.last_used)}" if token.last_used else "was never used"
    return (
        f"{owner} and {used}. The server then refuses every request with it, for good. The token stays in the list, so "
        "that its name in the audit can be explained."
    )
