"""Wrong passwords and second factors in the admin: who is blocked until when; release and removal.

It must not know how passwords are counted, nor show the secrets of a second factor.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from axes.models import AccessAttempt
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from apps.accounts import login_failures, login_identity, second_factor
from apps.fleet.plural import counted
from apps.lifecycle.readonly_admin import ReadOnlyAdmin


@admin.register(AccessAttempt)
class LoginFailureAdmin(ReadOnlyAdmin[AccessAttempt]):
    """One row for each account, address and browser."""

    search_fields = ("username", "ip_address")
    ordering = ("-attempt_time", "-pk")
    fields = ("account", "address", "failures_since_start", "attempt_time", "path_info", "user_agent")
    readonly_fields = fields
    actions = ("release",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[AccessAttempt]:
        """The rows that count."""
        return super().get_queryset(request).filter(pk__in=login_failures.recent().values("pk"))

    def get_list_display(self, request: HttpRequest) -> list[str | Callable[[AccessAttempt], Any]]:
        """The blocks are looked up once for the page."""
        blocks = login_failures.blocks()

        @admin.display(empty_value="not blocked")
        def blocked_until(row: AccessAttempt) -> datetime | None:
            here = (one for one in blocks if one.address == row.ip_address)
            return max((one.until for one in here if one.account in ("", row.username)), default=None)

        return ["account", "address", "failures_since_start", "attempt_time", blocked_until, "user_agent"]

    @admin.display(ordering="username")
    def account(self, row: AccessAttempt) -> str:
        return row.username if login_identity.is_known(row.username) else "no such account"

    @admin.display(ordering="ip_address")
    def address(self, row: AccessAttempt) -> str:
        return login_identity.shown(row.ip_address)

    def has_release_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("axes.delete_accessattempt")

    @admin.action(description="Release the addresses of the selected rows", permissions=["release"])
    def release(self, request: HttpRequest, queryset: QuerySet[AccessAttempt]) -> None:
        actor = f"user:{request.user.get_username()}"
        addresses = sorted({address for address in queryset.values_list("ip_address", flat=True) if address})
        failures = sum(
            login_failures.release(actor=actor, address=login_identity.shown(address)) for address in addresses
        )
        self.message_user(request, f"Released: {counted(failures, 'wrong password')} forgotten.", messages.SUCCESS)


# django-otp's own show keys and recovery codes, and change them without the audit.
admin.site.unregister((TOTPDevice, StaticDevice))


@admin.register(TOTPDevice)
class SecondFactorAdmin(ReadOnlyAdmin[TOTPDevice]):
    list_display = ("user", "created_at", "last_used_at")
    list_select_related = ("user",)
    search_fields = ("user__username",)
    ordering = ("user__username",)
    fields = ("user", "created_at", "last_used_at")
    actions = ("remove",)

    def has_remove_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("otp_totp.delete_totpdevice")

    @admin.action(description="Remove the selected second factors", permissions=["remove"])
    def remove(self, request: HttpRequest, queryset: QuerySet[TOTPDevice]) -> None:
        actor = f"user:{request.user.get_username()}"
        removed = sum(second_factor.remove(user=device.user, actor=actor) for device in queryset)
        self.message_user(request, f"Removed {counted(removed, 'second factor')}.", messages.SUCCESS)
