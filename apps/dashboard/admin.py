"""The titles of Django's admin, its login, and its page for one's own password, which is the dashboard's.

The apps that own the models register them.
"""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from apps.accounts.forms import AdminLoginForm

admin.site.site_header = "PacSync administration"
admin.site.site_title = "PacSync"
admin.site.index_title = "All tables"
admin.site.login_form = AdminLoginForm
admin.site.login_template = "admin_login.html"


def password_change(request: HttpRequest, **context: Any) -> HttpResponse:
    """To the dashboard's page. Django's own doesn't count wrong old passwords."""
    return redirect("password_change")


admin.site.password_change = password_change  # type: ignore[method-assign,assignment]  # it has no setting for its form
