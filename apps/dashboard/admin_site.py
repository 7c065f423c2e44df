"""Who may open Django's admin. admin.py has its titles."""

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from apps.fleet import roles
from apps.fleet.models import Role

FOR_ADMINISTRATORS = "Only administrators may open these pages. An administrator can give your account that role."


class Site(admin.AdminSite):
    """Django's, for administrators."""

    def has_permission(self, request: HttpRequest) -> bool:
        """Whether the person may open the admin; False for nobody, who is sent to the login.

        Raises PermissionDenied for anyone else: a login page would only tell them to be somebody else. Django's own
        staff status opens the admin, too; what is in it for them is a matter of their permissions.
        """
        user = request.user
        if roles.may(user, Role.ADMINISTRATOR) or (user.is_active and user.is_staff):
            return True
        if user.is_authenticated:
            raise PermissionDenied(FOR_ADMINISTRATORS)
        return False
