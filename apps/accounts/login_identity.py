"""Under which account and which address a wrong password is counted. It must not know how many there may be.

django-axes calls both functions (AXES_USERNAME_CALLABLE, AXES_CLIENT_IP_CALLABLE).
"""

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

from django.contrib.auth import get_user_model
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

from apps.lifecycle.wsgi import address_rates
from apps.lifecycle.wsgi.forwarded_address import parsed

UNKNOWN = "unknown:"
_DIGITS = 16
_SALT = "apps.accounts.login_identity"


def account(request: HttpRequest, credentials: Mapping[str, Any] | None = None) -> str | None:
    """The name of the account, or `unknown:` with a hash if there is no such account; None if no name was given.

    People type their password into the field of the name by mistake, so a name of nobody is never stored. It is
    counted like the others: otherwise an answer would tell which accounts there are. One query for each request.
    """
    field = get_user_model().USERNAME_FIELD
    given = credentials.get(field) if credentials else request.POST.get(field)
    if given is None:
        return None
    known: dict[str, str] = vars(request).setdefault("_accounts", {})  # axes asks several times
    if given not in known:
        known[given] = given if _exists(given) else UNKNOWN + salted_hmac(_SALT, given).hexdigest()[:_DIGITS]
    return known[given]


def _exists(name: str) -> bool:
    if "\0" in name:
        return False
    return get_user_model()._default_manager.filter(**{get_user_model().USERNAME_FIELD: name}).exists()


def is_known(account: str | None) -> bool:
    """Whether `account` is a name of an account, as `account` returns it."""
    return bool(account) and not str(account).startswith(UNKNOWN)


def address(request: HttpRequest) -> str | None:
    """The client's address behind trusted proxies, for IPv6 the first one of its /64; None if there is none."""
    return counted_as(request.META.get("REMOTE_ADDR", ""))


def counted_as(text: str) -> str | None:
    """The address under which this address or network is counted; None if it isn't one."""
    bare = text.strip().partition("/")[0]
    if parsed(bare) is None:
        return None
    return str(ip_network(address_rates.source(bare)).network_address)


def shown(counted: str | None) -> str:
    """For people: `203.0.113.9`, `2001:db8::/64`."""
    return address_rates.source(counted) if counted else "no address"
