"""Who may see details: everybody, or with HEALTH_DETAIL=private, readers with a listed address, a token or a session.

It must not know what the details are. It reads the database only if a request has a token or a session.
"""

import ipaddress
from collections.abc import Mapping
from enum import IntEnum
from http.cookies import CookieError, SimpleCookie
from importlib import import_module
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest

from apps.fleet import roles, tokens
from apps.fleet.exceptions import TokenExpired
from apps.fleet.models import Role
from apps.fleet.models.roles import allows
from apps.health.checking import process_checker
from apps.lifecycle import session_user
from apps.lifecycle.wsgi import address_rates, bearer_token

Environ = Mapping[str, Any]


class Level(IntEnum):
    """What a reader may see."""

    STATUS = 0  # healthy or not
    DETAILS = 1  # everything except the names of machines and the versions of Python and Django
    NAMES = 2  # everything


def level(environ: Environ) -> Level:
    """What the sender of this request (a WSGI environ) may see."""
    if is_listed(str(environ.get("REMOTE_ADDR", ""))) or is_known(environ):
        return Level.NAMES
    return Level.DETAILS if settings.HEALTH_DETAIL == "public" else Level.STATUS


def is_known(environ: Environ) -> bool:
    """Whether the request has a valid token or session. None is valid while the database can't be used."""
    token, cookies = str(environ.get("HTTP_AUTHORIZATION", "")), str(environ.get("HTTP_COOKIE", ""))
    if not token and settings.SESSION_COOKIE_NAME not in cookies:
        return False
    if not process_checker.checker().current().database_usable:
        return False
    try:
        return has_token(token) or has_session(cookies)
    except DatabaseError:
        process_checker.checker().wake()
        return False
    finally:
        if not connection.in_atomic_block:
            connection.close()  # outside Django, nothing else gives it back


def has_token(header: str) -> bool:
    """Whether this Authorization header has an API token that may read the fleet."""
    token = bearer_token.from_header(header)
    if token is None:
        return False
    try:
        found = tokens.authenticate_api_token(token=token)
    except TokenExpired:
        return False
    if found is not None:
        address_rates.remember(header)
    return found is not None and allows(found.role_now, Role.VIEWER)


def has_session(header: str) -> bool:
    """Whether the dashboard session in this Cookie header belongs to a person who may read the fleet."""
    try:
        morsel = SimpleCookie(header).get(settings.SESSION_COOKIE_NAME)
    except CookieError:
        return False
    if morsel is None:
        return False
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(morsel.value)
    return roles.may(session_user.get_user(request), Role.VIEWER)


def is_listed(address: str) -> bool:
    """Whether this address is in HEALTH_DETAIL_NETWORKS. (What strangers say in X-Forwarded-For never gets here.)"""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return any((mapped or parsed) in network for network in settings.HEALTH_DETAIL_NETWORKS)
