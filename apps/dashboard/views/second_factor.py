"""The page for the second factor of one's own account. It must not know how codes are verified."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.safestring import mark_safe
from django.views.decorators.http import require_http_methods

from apps.accounts import second_factor
from apps.accounts.forms import ConfirmedForm, SecondFactorForm
from apps.dashboard.requests.permissions import account, actor


@account
@require_http_methods(["GET", "HEAD", "POST"])
def page(request: HttpRequest) -> HttpResponse:
    """How to set one up, or what there is and how to remove it; and both forms."""
    if request.method == "POST":
        return _add(request) if "signed_key" in request.POST else _remove(request)
    if second_factor.is_set(request.user):
        return _with_one(request, ConfirmedForm(request=request))
    return _without(request, second_factor.new_key())


def _add(request: HttpRequest) -> HttpResponse:
    """Set it up, and show the recovery codes once."""
    form = SecondFactorForm(request.POST, request=request)
    valid = form.is_valid()
    key = form.cleaned_data.get("signed_key")
    if key is None:
        messages.error(request, "The page was too old. Begin again.")
        return redirect("second_factor")
    if not valid:
        return _without(request, key, form)
    code = form.cleaned_data["code"]
    codes = second_factor.add(user=request.user, key=key, code=code, actor=actor(request))
    if codes is None:
        form.add_error("code", "The code is wrong. Wait for the next one. The clocks of phone and server must agree.")
        return _without(request, key, form)
    return render(request, "pacsync/second_factor_codes.html", {"codes": codes})


def _remove(request: HttpRequest) -> HttpResponse:
    """Remove it, and the recovery codes."""
    form = ConfirmedForm(request.POST, request=request)
    if not form.is_valid():
        return _with_one(request, form)
    if second_factor.remove(user=request.user, actor=actor(request)):
        messages.success(request, "Your account has no second factor any more.")
    return redirect("second_factor")


def _with_one(request: HttpRequest, form: ConfirmedForm) -> HttpResponse:
    context = {"form": form, "left": second_factor.recovery_codes_left(request.user)}
    return render(request, "pacsync/second_factor.html", context)


def _without(request: HttpRequest, key: str, form: SecondFactorForm | None = None) -> HttpResponse:
    address = second_factor.address(request.user, key)
    context: dict[str, Any] = {
        "form": form
        or SecondFactorForm(request=request, initial={"signed_key": SecondFactorForm.sign(request.user, key)}),
        "qr_code": mark_safe(second_factor.qr_code(address)),  # noqa: S308 - segno made it
        "address": address,
    }
    return render(request, "pacsync/second_factor_new.html", context)
