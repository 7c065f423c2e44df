"""Logging in and changing one's own password. It must not know the fleet."""

from typing import Any

from django.contrib import messages
from django.contrib.auth import get_user_model
from django.contrib.auth import views as auth_views
from django.http import HttpResponse
from django.urls import reverse_lazy

from apps.accounts.forms import LoginForm, OwnPasswordForm


class Login(auth_views.LoginView):
    """The login page. On a new server it says how to make the first account."""

    template_name = "pacsync/login.html"
    authentication_form = LoginForm
    redirect_authenticated_user = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        users = get_user_model()._default_manager.filter(is_active=True)
        accounts = {"no_user_yet": not users.exists(), "has_administrator": users.filter(is_superuser=True).exists()}
        return super().get_context_data(**kwargs, **accounts)


class PasswordChange(auth_views.PasswordChangeView):
    """A new password for the person who is logged in."""

    template_name = "pacsync/password.html"
    form_class = OwnPasswordForm
    success_url = reverse_lazy("overview")

    def get_form_kwargs(self) -> dict[str, Any]:
        return super().get_form_kwargs() | {"request": self.request}

    def form_valid(self, form: Any) -> HttpResponse:
        messages.success(self.request, "Your password was changed.")
        return super().form_valid(form)
