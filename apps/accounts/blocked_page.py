"""The answer to a password that isn't looked at (AXES_LOCKOUT_CALLABLE). It must not know why there are limits."""

import math
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from apps.accounts import login_failures, login_identity


def blocked(
    request: HttpRequest, response: HttpResponse | None = None, credentials: Mapping[str, Any] | None = None
) -> HttpResponse:
    """429 with Retry-After, the time from which on a password is looked at again, and how to be released earlier."""
    address = login_identity.address(request)
    block = login_failures.block_of(login_identity.account(request, credentials), address)
    seconds = max(1, math.ceil((block.until - timezone.now()).total_seconds())) if block else 1
    context = {
        "until": block.until if block else timezone.now(),
        "minutes": math.ceil(seconds / 60),
        "whole_address": block is not None and not block.account,
        "address": login_identity.shown(address),
        "command": f"{settings.MANAGE_COMMAND} blocked_logins --release-address {login_identity.shown(address)}",
    }
    page = render(request, "login_blocked.html", context, status=429)
    page["Retry-After"] = str(seconds)
    page["Cache-Control"] = "no-store"
    return page
