"""System checks for settings that work but are probably a mistake. settings.py refuses at start what can't work."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning, register

from apps.lifecycle import private_files

PRELOAD_SECONDS = 31_536_000
"""The least max-age with which browsers take a site into their lists (hstspreload.org)."""


def register_all() -> None:
    register(request_limit)
    register(strict_transport)
    register(readable_files)


def request_limit(**kwargs: Any) -> list[CheckMessage]:
    """W001: the requests that the bulkhead admits can take every thread."""
    if settings.WEB_REQUEST_LIMIT < settings.WEB_THREADS:
        return []
    text = (
        f"WEB_REQUEST_LIMIT ({settings.WEB_REQUEST_LIMIT}) leaves none of {settings.WEB_THREADS} threads to health "
        "reports and metrics."
    )
    return [Warning(text, hint="Set it below WEB_THREADS.", id="lifecycle.W001")]


def strict_transport(**kwargs: Any) -> list[CheckMessage]:
    """W002: choices for HSTS that have no effect; W003: a preload that browsers don't accept."""
    subdomains, preload = settings.SECURE_HSTS_INCLUDE_SUBDOMAINS, settings.SECURE_HSTS_PRELOAD
    if not settings.SECURE_HSTS_SECONDS:
        if not subdomains and not preload:
            return []
        text = "HSTS_INCLUDE_SUBDOMAINS and HSTS_PRELOAD have no effect: no Strict-Transport-Security is sent."
        hint = "Set BEHIND_HTTPS_PROXY=true and HSTS_SECONDS above 0, or remove them."
        return [Warning(text, hint=hint, id="lifecycle.W002")]
    if not preload or (subdomains and settings.SECURE_HSTS_SECONDS >= PRELOAD_SECONDS):
        return []
    text = "HSTS_PRELOAD is on, but browsers accept it only for all subdomains and at least a year."
    hint = f"Set HSTS_INCLUDE_SUBDOMAINS=true and HSTS_SECONDS to {PRELOAD_SECONDS} or more, or remove HSTS_PRELOAD."
    return [Warning(text, hint=hint, id="lifecycle.W003")]


def readable_files(**kwargs: Any) -> list[CheckMessage]:
    """W004: other users can read the SQLite database, and this process can't change that: it isn't the owner."""
    if settings.DATABASE_TYPE != "sqlite":
        return []
    database = str(settings.DATABASES["default"]["NAME"])
    private_files.settle_files(database)
    found = [str(path) for path in private_files.of_sqlite(database) if private_files.too_open(path)]
    if not found:
        return []
    text = f"Other users can read {', '.join(found)}, and this user may not change that."
    return [Warning(text, hint="As the owner or root: `chmod go-rwx`.", id="lifecycle.W004")]
