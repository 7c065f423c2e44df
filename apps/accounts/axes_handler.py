"""How django-axes counts here (AXES_HANDLER): by address, and by account and address. It must not know the limits.

django-axes has one limit for everything that it counts. Here there are several, so its limit (AXES_FAILURE_LIMIT) is
100 percent, and `get_failures` says how full the fullest count is.
"""

from collections.abc import Mapping
from typing import Any

from axes.handlers.database import AxesDatabaseHandler
from axes.models import AccessAttempt
from django.db import transaction
from django.http import HttpRequest

from apps.accounts import login_audit, login_failures, login_identity

Credentials = Mapping[str, Any] | None


class LoginFailuresHandler(AxesDatabaseHandler):  # type: ignore[misc]  # axes has no types
    """django-axes' own, with our limits. It keeps nothing of the form that was sent."""

    def get_failures(self, request: HttpRequest, credentials: Credentials = None) -> int:
        """In percent of what may come from this address."""
        return login_failures.fullness(login_identity.account(request, credentials), login_identity.address(request))

    def user_login_failed(
        self, sender: Any, credentials: Mapping[str, Any], request: HttpRequest | None = None, **signal: Any
    ) -> None:
        """Count a wrong password and record it. One that was not looked at, because of a block, isn't counted."""
        looked_at = not getattr(request, "axes_locked_out", False)
        with transaction.atomic():
            super().user_login_failed(sender, credentials, request, **signal)
            if request is None or not looked_at:
                return
            rows = self._of_this_address(request, credentials)
            rows.exclude(get_data="", post_data="").update(get_data="", post_data="")
            login_audit.failed(
                account=login_identity.account(request, credentials),
                address=login_identity.address(request),
                first=sum(row.failures_since_start for row in rows) == 1,
                blocked=request.axes_locked_out,  # type: ignore[attr-defined]  # axes sets it
            )

    def reset_user_attempts(self, request: HttpRequest, credentials: Credentials = None) -> int:
        """After a right password: only what this address sent for this account. Other guesses still count."""
        count: int = self._of_this_address(request, credentials).delete()[0]
        return count

    def _of_this_address(self, request: HttpRequest, credentials: Credentials) -> Any:
        return AccessAttempt.objects.filter(
            username=login_identity.account(request, credentials), ip_address=login_identity.address(request)
        )
