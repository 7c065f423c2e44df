"""Logins, logouts and wrong passwords in the audit. It must not know what is counted or blocked.

The audit never forgets, and whoever can reach the server can send wrong passwords. So only the first one of an address
for an account is recorded, and the one that blocks the address, and of all together PER_HOUR in an hour.
"""

from datetime import timedelta
from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.http import HttpRequest

from apps.accounts import login_identity, session_end
from apps.fleet import audit, clock
from apps.fleet.models import AuditEvent

PER_HOUR = 100
FAILED, BLOCKED = "log_in_failed", "block_login"


def connect() -> None:
    """Have Django's signals recorded. Logins without an address are those of programs, not of people."""
    user_logged_in.connect(_logged_in, dispatch_uid="apps.accounts.login_audit")
    user_logged_out.connect(_logged_out, dispatch_uid="apps.accounts.login_audit")


def failed(*, account: str | None, address: str | None, first: bool, blocked: bool) -> None:
    """Record a wrong password, if it is the first one or blocks the address. Two queries at most."""
    if not (first or blocked):
        return
    hour = clock.moved(-timedelta(hours=1))
    recorded = AuditEvent.objects.filter(at__gt=hour, verb__in=(FAILED, BLOCKED))[:PER_HOUR].count()
    if recorded >= PER_HOUR:
        return
    audit.record(
        actor=f"address:{login_identity.shown(address)}",
        verb=BLOCKED if blocked else FAILED,
        object=f"user:{account}" if login_identity.is_known(account) else "account:unknown",
        after={"more": "not recorded within the hour"} if recorded == PER_HOUR - 1 else None,
    )


def _logged_in(request: HttpRequest, user: Any, **signal: object) -> None:
    session_end.begin(request.session)
    _record("log_in", request, user)


def _logged_out(request: HttpRequest, user: Any, **signal: object) -> None:
    if user is not None:
        _record("log_out", request, user)


def _record(verb: str, request: HttpRequest, user: Any) -> None:
    address = login_identity.address(request)
    if address is not None:
        name = f"user:{user.get_username()}"
        audit.record(actor=name, verb=verb, object=name, after={"address": login_identity.shown(address)})
