"""Accounts, whose roles follow from their groups and permissions. A role that changes here is in the audit."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.fleet import roles
from apps.fleet.models import ApiToken
from apps.fleet.models.roles import role_of

from .through_managers import actor

if TYPE_CHECKING:
    Base = UserAdmin[User]
else:
    Base = UserAdmin

admin.site.unregister(User)


@admin.register(User)
class AccountAdmin(Base):
    """Django's own, with the role of each account."""

    list_display = ("username", "role", "email", "is_active", "last_login")

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).annotate(_role=role_of(""))

    @admin.display(description="role", empty_value="none")
    def role(self, user: User) -> str | None:
        found: str | None = user._role  # type: ignore[attr-defined]  # annotated above
        return found

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """An account's API tokens go with it, though nobody may delete one alone."""
        objects, counts, needed, protected = super().get_deleted_objects(objs, request)
        return objects, counts, needed - {ApiToken._meta.verbose_name}, protected

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        request.role_before = roles.of_accounts([obj.pk]).get(obj.pk) if change else None  # type: ignore[attr-defined]
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        user, before = form.instance, request.role_before  # type: ignore[attr-defined]  # from `save_model`
        after = roles.of_accounts([user.pk]).get(user.pk)
        roles.record_change(user=user, before=before, after=after, actor=actor(request))
