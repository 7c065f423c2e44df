"""System checks for settings that work but are probably a mistake. settings.py refuses at start what can't work."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning, register


def register_all() -> None:
    register(request_limit)


def request_limit(**kwargs: Any) -> list[CheckMessage]:
    """W001: the requests that the bulkhead admits can take every thread."""
    if settings.WEB_REQUEST_LIMIT < settings.WEB_THREADS:
        return []
    text = (
        f"WEB_REQUEST_LIMIT ({settings.WEB_REQUEST_LIMIT}) leaves none of {settings.WEB_THREADS} threads to health "
        "reports and metrics."
    )
    return [Warning(text, hint="Set it below WEB_THREADS.", id="lifecycle.W001")]
