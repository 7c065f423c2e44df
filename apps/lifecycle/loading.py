"""Loads whatever a request may need before the server is ready. It must not know packages, nor what a part is for.

Django imports URLs and views at the first request, so what is wrong with them would be found out by a client, and the
first request of each worker would wait for it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import django
from django.core.handlers.wsgi import WSGIHandler


class ReleaseBroken(Exception):
    """This release can't serve. `part` is what couldn't be loaded; the text is one line with the cause."""

    def __init__(self, part: str, error: BaseException) -> None:
        super().__init__(f"{part} can't be loaded: {type(error).__name__}: {' '.join(str(error).split())}")
        self.part = part


def load() -> WSGIHandler:
    """Load everything, and return Django's WSGI application. Raises ReleaseBroken; needs no database."""
    application: list[WSGIHandler] = []
    parts: dict[str, Callable[[], object]] = {
        "an app": django.setup,
        "the middleware": lambda: application.append(WSGIHandler()),
        "the URLs and views": _load_urls,
        "a template": _load_templates,
        "the configuration": _run_checks,
    }
    for part, step in parts.items():
        try:
            step()
        except Exception as error:
            raise ReleaseBroken(part, error) from error
    return application[0]


def _load_urls() -> None:
    from django.urls import get_resolver

    _walk(get_resolver())


def _walk(resolver: Any) -> None:
    for pattern in resolver.url_patterns:
        if hasattr(pattern, "url_patterns"):
            _walk(pattern)
        else:
            _ = pattern.callback


def _load_templates() -> None:
    """Compile the templates of the project's own apps; those of libraries are the libraries' matter."""
    from django.apps import apps
    from django.conf import settings
    from django.template.loader import get_template

    for app in apps.get_app_configs():
        folder = Path(app.path) / "templates"
        if folder.is_dir() and Path(app.path).is_relative_to(settings.BASE_DIR):
            for path in sorted(folder.rglob("*.html")):
                get_template(str(path.relative_to(folder)))


def _run_checks() -> None:
    """What Django's system checks say that makes serving impossible. No database is asked."""
    from django.core import checks
    from django.core.exceptions import ImproperlyConfigured

    for message in checks.run_checks():
        if message.level >= checks.ERROR:
            raise ImproperlyConfigured(f"{message.msg} ({message.id})")
