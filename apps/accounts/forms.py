"""The forms for logging in and for one's own account. They must not know the pages.

Whatever takes a password here asks Django's backends, so that a wrong one counts like one of the login page. Otherwise
whoever finds a browser that is logged in could guess there as often as they like.
"""

from typing import Any

from django import forms
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth import authenticate
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.contrib.auth.signals import user_login_failed
from django.core import signing
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from apps.accounts import second_factor

KEY_SECONDS = 3600
"""How long a page for a new second factor can be sent."""
_SALT = "apps.accounts.forms"
_WRONG_PASSWORD = "The password is wrong."  # noqa: S105 - a message
_CODE = {"autocomplete": "one-time-code", "inputmode": "text", "spellcheck": "false", "autocapitalize": "off"}


class _CodeForm(forms.Form):
    """The part of a login that is about the second factor."""

    code = forms.CharField(
        required=False,
        max_length=32,
        strip=True,
        help_text="Only if your account has a second factor: the code of your app, or a recovery code.",
        widget=forms.TextInput(attrs=_CODE),
    )

    def confirm_login_allowed(self, user: Any) -> None:
        """Raises ValidationError if the account has a second factor, and the code isn't right. A wrong one counts."""
        super().confirm_login_allowed(user)  # type: ignore[misc]  # AuthenticationForm has it
        if not second_factor.is_set(user):
            return
        code = self.cleaned_data.get("code", "")
        if not code:
            raise ValidationError("This account has a second factor. Enter the code of your app, too.", "code_missing")
        if not second_factor.accepts(user=user, code=code):
            credentials = {"username": user.get_username()}
            user_login_failed.send(sender=__name__, credentials=credentials, request=self.request)  # type: ignore[attr-defined]  # as above
            raise ValidationError(
                "The code is wrong, or was used already, or came too soon after a wrong one. "
                "Wait for the next code of your app.",
                "code_wrong",
            )


class LoginForm(_CodeForm, AuthenticationForm):
    """Name, password, and the code of a second factor."""


class AdminLoginForm(_CodeForm, AdminAuthenticationForm):
    """The same for Django's admin."""


def _is_password_of(request: HttpRequest, user: Any, password: str) -> bool:
    return authenticate(request, username=user.get_username(), password=password) is not None


class OwnPasswordForm(PasswordChangeForm):
    """A new password for whoever is logged in."""

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request

    def clean_old_password(self) -> str:
        given: str = self.cleaned_data["old_password"]
        if not _is_password_of(self.request, self.user, given):
            raise ValidationError(self.error_messages["password_incorrect"], code="password_incorrect")
        return given


class ConfirmedForm(forms.Form):
    """A form that asks for the password of whoever is logged in."""

    password = forms.CharField(
        label="Your password",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request

    def clean_password(self) -> str:
        given: str = self.cleaned_data["password"]
        if not _is_password_of(self.request, self.request.user, given):
            raise ValidationError(_WRONG_PASSWORD, code="password_incorrect")
        return given


class SecondFactorForm(ConfirmedForm):
    """A new second factor. The key goes with the page, signed, so that looking at the page changes nothing."""

    signed_key = forms.CharField(widget=forms.HiddenInput())
    code = forms.CharField(
        label="Code of your app", max_length=32, help_text="Six digits.", widget=forms.TextInput(attrs=_CODE)
    )
    field_order = ("signed_key", "code", "password")

    def clean_signed_key(self) -> str:
        """The key. Raises ValidationError if it isn't one that this server gave this account lately."""
        try:
            user, key = signing.loads(self.cleaned_data["signed_key"], salt=_SALT, max_age=KEY_SECONDS)
        except signing.BadSignature:
            user, key = None, ""
        if user != self.request.user.pk:
            raise ValidationError("This is no key for this account.", code="too_old")
        return str(key)

    @staticmethod
    def sign(user: Any, key: str) -> str:
        """The value of `signed_key`."""
        return signing.dumps([user.pk, key], salt=_SALT)
