"""How an action answers: do it, say what happened, go on to a page; or ask first. It must not know the actions."""

from collections.abc import Callable
from typing import Any, TypeVar

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from apps.fleet.exceptions import FleetError, NameTaken, TargetChanged

T = TypeVar("T")


def attempt(request: HttpRequest, do: Callable[[], T]) -> T | None:
    """What `do` returns; None when the fleet refused, and then the reason is a message on the next page."""
    try:
        return do()
    except FleetError as refusal:
        messages.error(request, str(refusal))
        return None


def attempt_as_shown(request: HttpRequest, do: Callable[[], T], *, asks: str, refused: str) -> T | HttpResponse:
    """What `do` returns; when the fleet refused, the way on, with the reason as a message: to the page `asks` where
    what was shown is another one by now, so that it is shown again, else to the page `refused`."""
    try:
        return do()
    except FleetError as refusal:
        messages.error(request, str(refusal))
        return redirect(asks if isinstance(refusal, TargetChanged) else refused)


def succeeded(request: HttpRequest, do: Callable[[], object]) -> bool:
    """Whether `do` was done; if the fleet refused, the reason is a message on the next page."""
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


def ask(
    request: HttpRequest, *, heading: str, button: str, back: str, status: int = 200, **context: Any
) -> HttpResponse:
    """A page that says what will happen, with one button that posts to the same address, and a way back."""
    context |= {"heading": heading, "button": button, "back": back}
    return render(request, "pacsync/ask.html", context, status=status)
