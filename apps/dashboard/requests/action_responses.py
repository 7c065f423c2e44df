"""How an action responds: do it, say what happened, continue on a page; or ask first. It must not know the actions."""

from collections.abc import Callable
from typing import Any, TypeVar

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from apps.fleet.exceptions import FleetError, NameTaken, TargetChanged

T = TypeVar("T")


def attempt(request: HttpRequest, do: Callable[[], T]) -> T | None:
    """The result of `do`. If the fleet refuses: None, and the reason is a message on the next page."""
    try:
        return do()
    except FleetError as refusal:
        messages.error(request, str(refusal))
        return None


def attempt_as_shown(
    request: HttpRequest, do: Callable[[], T], *, if_changed: str, if_refused: str
) -> T | HttpResponse:
    """The result of `do`. If the fleet refuses: a redirect, and the reason is a message on the next page.

    The redirect goes to the address `if_changed` where the target is no longer what the person saw, so that they see
    the new one; otherwise to `if_refused`.
    """
    try:
        return do()
    except FleetError as refusal:
        messages.error(request, str(refusal))
        return redirect(if_changed if isinstance(refusal, TargetChanged) else if_refused)


def succeeded(request: HttpRequest, do: Callable[[], object]) -> bool:
    """Whether `do` succeeded. If the fleet refuses, the reason is a message on the next page."""
    try:
        do()
    except FleetError as refusal:
        messages.error(request, str(refusal))
        return False
    return True


def attempt_with_form(form: forms.Form, do: Callable[[], T]) -> T | None:
    """As `attempt`, but the reason becomes an error of the form, at the field that it is about."""
    try:
        return do()
    except FleetError as refusal:
        field = "name" if isinstance(refusal, NameTaken) else refusal.extra.get("field")
        form.add_error(field if field in form.fields else None, str(refusal))
        return None


def confirmation_page(
    request: HttpRequest, *, heading: str, button: str, back: str, status: int = 200, **context: Any
) -> HttpResponse:
    """A page that says what will happen, with one button that posts to the same address, and a way back.

    `back` is an address; `context` is for the template confirmation.html.
    """
    context |= {"heading": heading, "button": button, "back": back}
    return render(request, "pacsync/confirmation.html", context, status=status)
