"""API tokens and enrolment codes: seen and revoked, never made here, because their text is shown only once."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.fleet import endpoint_manager, roles, tokens
from apps.fleet.models import ApiToken, EnrolmentCode, ReenrolmentCode, Role
from apps.lifecycle.readonly_admin import ReadOnlyAdmin

from .through_managers import ThroughManagers, actor


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyAdmin[ApiToken]):
    list_display = ("name", "role", "owner", "created", "expires", "last_used", "revoked")
    list_filter = ("role", "expires", "revoked")
    list_select_related = ("owner",)
    search_fields = ("name", "owner__username")
    ordering = ("name",)
    exclude = ("token_hash",)
    actions = ("revoke",)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return roles.may(request.user, Role.ADMINISTRATOR)

    @admin.action(description="Revoke the selected tokens", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        for token in queryset:
            tokens.revoke_api_token(token=token, actor=actor(request))
        self.message_user(request, "Revoked; they are refused from now on.", messages.SUCCESS)


@admin.register(EnrolmentCode)
class EnrolmentCodeAdmin(ThroughManagers[EnrolmentCode]):
    list_display = ("id", "pool", "may_set_targets", "used", "uses", "expires", "author", "created")
    list_filter = ("expires", "created")
    list_select_related = ("pool",)
    search_fields = ("pool__name", "author")
    ordering = ("-created", "-pk")
    exclude = ("code_hash",)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def delete(self, request: HttpRequest, obj: EnrolmentCode) -> None:
        endpoint_manager.delete_enrolment_code(code=obj, actor=actor(request))


@admin.register(ReenrolmentCode)
class ReenrolmentCodeAdmin(ReadOnlyAdmin[ReenrolmentCode]):
    """Withdrawn on the endpoint's page."""

    list_display = ("endpoint", "expires", "author", "created")
    list_filter = ("expires",)
    list_select_related = ("endpoint",)
    search_fields = ("endpoint__name", "author")
    ordering = ("-created", "-pk")
    exclude = ("code_hash",)
