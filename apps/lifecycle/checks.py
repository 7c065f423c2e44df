"""System checks of what can be misconfigured, each with an id. settings.py refuses the worst of it already at start."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register


def register_all() -> None:
    for check in (dbpool_sizes, dbpool_workers, drain_delay, request_limit):
        register(check)


def dbpool_sizes(**kwargs: Any) -> list[CheckMessage]:
    if settings.DB_POOL_MIN_SIZE <= settings.DB_POOL_MAX_SIZE:
        return []
    text = f"DB_POOL_MIN_SIZE ({settings.DB_POOL_MIN_SIZE}) is above DB_POOL_MAX_SIZE ({settings.DB_POOL_MAX_SIZE})."
    return [Error(text, id="lifecycle.E001")]


def dbpool_workers(**kwargs: Any) -> list[CheckMessage]:
    if settings.DATABASE_TYPE == "sqlite" or settings.DB_POOL_MAX_SIZE >= settings.WEB_CONCURRENCY:
        return []
    text = f"DB_POOL_MAX_SIZE ({settings.DB_POOL_MAX_SIZE}) is below WEB_CONCURRENCY ({settings.WEB_CONCURRENCY})."
    return [Error(text, hint="Each worker needs a connection.", id="lifecycle.E002")]


def drain_delay(**kwargs: Any) -> list[CheckMessage]:
    if settings.SHUTDOWN_DRAIN_DELAY < settings.SHUTDOWN_TIMEOUT:
        return []
    text = (
        f"SHUTDOWN_DRAIN_DELAY ({settings.SHUTDOWN_DRAIN_DELAY:g} s) is not below "
        f"SHUTDOWN_TIMEOUT ({settings.SHUTDOWN_TIMEOUT:g} s)."
    )
    return [Error(text, hint="The drain is part of the timeout.", id="lifecycle.E003")]


def request_limit(**kwargs: Any) -> list[CheckMessage]:
    if settings.WEB_REQUEST_LIMIT < settings.WEB_THREADS:
        return []
    text = f"WEB_REQUEST_LIMIT ({settings.WEB_REQUEST_LIMIT}) leaves none of {settings.WEB_THREADS} threads to probes."
    return [Warning(text, hint="Set it below WEB_THREADS.", id="lifecycle.W001")]
