"""Loads whatever a request may need before the server is ready, so that a broken release fails at its start.

It must not know packages or what a part is for: apps that make something at their first request register it here.
Called by `pacsync.wsgi` in each worker, by `manage.py check`, `manage.py healthcheck` and `deploy/database.py migrate`;
a child process that imports `pacsync.wsgi` tries a release before a reload.
"""

import gc
import re
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from importlib.abc import InspectLoader
from importlib.util import find_spec
from pathlib import Path
from pkgutil import walk_packages
from types import CodeType
from typing import Any, cast

import django
from django.apps import AppConfig, apps
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.db import connections
from django.utils.module_loading import import_string

from apps.lifecycle import template_loading

EXIT = 3
"""The exit code of a worker that can't load: gunicorn's own WORKER_BOOT_ERROR, so the master ends with it too."""
CONFIGURATION = "the configuration"
ROOT = Path(__file__).resolve().parents[2]
OURS = __name__.partition(".")[0]
ERROR_STATUSES = (400, 403, 404, 500)
# Settings that name what Django looks up only when a request needs it.
NAMED = ("DEFAULT_EXCEPTION_REPORTER", "FORM_RENDERER", "MESSAGE_STORAGE", "CSRF_FAILURE_VIEW")
NAMED_MODULES = ("SESSION_ENGINE",)
TEMPLATE_NAME = re.compile(r"[\w-]+(/[\w-]+)*\.html")


@dataclass
class _State:
    registered: dict[str, Callable[[], object]] = field(default_factory=dict)


_state = _State()


class ReleaseBroken(Exception):
    """This release can't serve. `part` is what couldn't be loaded; the text is one line with file, line and cause."""

    def __init__(self, part: str, error: BaseException) -> None:
        super().__init__(f"this release can't serve, {part} can't be loaded: {described(error)}")
        self.part = part


def register(part: str, make: Callable[[], object]) -> None:
    """Have `make` called during loading. Safe in AppConfig.ready: nothing is loaded there."""
    _state.registered[part] = make


def load() -> WSGIHandler:
    """Load everything, and return Django's WSGI application. Raises ReleaseBroken; needs no database."""
    gc.disable()  # nothing that is loaded becomes garbage, and the search for garbage takes a sixth of the time
    try:
        return _load_parts()
    finally:
        gc.freeze()  # the collector needn't search it later either
        gc.enable()


def _load_parts() -> WSGIHandler:
    parts: dict[str, Callable[[], object]] = {
        "an app": django.setup,
        "the database's backend": lambda: connections["default"].vendor,
        "a module": import_modules,
        "the middleware": WSGIHandler,
        "what a setting names": import_named,
        "the URLs and views": load_urls,
        "a template": lambda: template_loading.load_all(named_templates()),
        CONFIGURATION: run_checks,
        "the migrations": load_migrations,
        **_state.registered,
    }
    made: dict[str, Any] = {}
    for part, step in parts.items():
        try:
            made[part] = step()
        except Exception as error:  # the edge: a release may be broken in any way
            raise ReleaseBroken(part, error) from error
    return cast(WSGIHandler, made["the middleware"])


# --- the parts --------------------------------------------------------------------------------------------------------
def our_apps() -> list[AppConfig]:
    return [config for config in apps.get_app_configs() if config.name.partition(".")[0] == OURS]


def import_modules() -> None:
    """Import every module of our apps: one imported inside a function would otherwise fail only in a request."""
    for name in _modules():
        import_module(name)


def _modules() -> Iterator[str]:
    for config in our_apps():
        for module in walk_packages([config.path], f"{config.name}.", onerror=_raise):
            if module.name.rpartition(".")[2] != "__main__" and ".management" not in module.name:
                yield module.name


def _raise(name: str) -> None:
    raise


def import_named() -> None:
    """Import what settings name with a dotted path."""
    from django.contrib.auth import get_backends
    from django.contrib.auth.password_validation import get_default_password_validators
    from django.shortcuts import resolve_url

    for name in NAMED:
        import_string(getattr(settings, name))
    for name in NAMED_MODULES:
        import_module(getattr(settings, name))
    get_backends()
    get_default_password_validators()
    for name in (settings.LOGIN_URL, settings.LOGIN_REDIRECT_URL, settings.LOGOUT_REDIRECT_URL):
        resolve_url(name or "/")


def load_urls() -> None:
    """Import each URL configuration with its views, and compile each pattern."""
    from django.urls import get_resolver

    resolver = get_resolver()
    _walk(resolver)
    resolver._populate()
    for status in ERROR_STATUSES:
        resolver.resolve_error_handler(status)


def _walk(resolver: Any) -> None:
    for entry in resolver.url_patterns:
        entry.pattern.regex  # noqa: B018 - compiled at the first use
        if hasattr(entry, "url_patterns"):
            _walk(entry)
        elif not callable(entry.callback):
            raise TypeError(f"{entry.pattern} has no view")


def run_checks() -> None:
    """Django's system checks: models, admin, URLs, settings. The health checks cover the database."""
    from django.core import checks

    wrong = [message for message in checks.run_checks() if message.is_serious() and not message.is_silenced()]
    if wrong:
        raise RuntimeError("; ".join(f"{message.id}: {message.msg}" for message in wrong))


def load_migrations() -> None:
    """Import the migrations of all apps, and check that they are in order and create everything our models need."""
    from django.db.migrations import AddField, CreateModel
    from django.db.migrations.autodetector import MigrationAutodetector
    from django.db.migrations.loader import MigrationLoader
    from django.db.migrations.state import ProjectState

    loader = MigrationLoader(None, ignore_no_migrations=True)
    conflicts = loader.detect_conflicts()
    if conflicts:
        raise RuntimeError(f"two last migrations: {conflicts}")
    labels = {config.label for config in our_apps()}
    detector = MigrationAutodetector(loader.project_state(), ProjectState.from_apps(apps))
    changes = detector.changes(graph=loader.graph, trim_to_apps=labels, convert_apps=labels)
    for label in labels & set(changes):
        missing = [
            operation.describe()
            for migration in changes[label]
            for operation in migration.operations
            if isinstance(operation, CreateModel | AddField)  # anything more in a migration breaks nothing
        ]
        if missing:
            raise RuntimeError(f"a model of {label} was changed without a migration: {'; '.join(missing)}")


def named_templates() -> set[str]:
    """The names of templates in our code: each string constant that looks like one."""
    found: set[str] = set()
    for name in _modules():
        spec = find_spec(name)
        code = spec.loader.get_code(name) if spec and isinstance(spec.loader, InspectLoader) else None
        if code is not None:
            found.update(text for text in _constants(code) if TEMPLATE_NAME.fullmatch(text))
    return found


def _constants(code: CodeType) -> Iterator[str]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _constants(constant)
        elif isinstance(constant, str):
            yield constant


# --- how a failure is described ---------------------------------------------------------------------------------------
def described(error: BaseException) -> str:
    """One line: the file and line of our code where it happened, the kind of error, its text, and its first cause."""
    first = error
    while cause := first.__cause__ or first.__context__:
        first = cause
    said = f"{place(error)}{type(error).__name__}: {_one_line(error)}"
    return said if _one_line(first) in said else f"{said} Its cause: {type(first).__name__}: {_one_line(first)}"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or "no text"


def place(error: BaseException) -> str:
    """`file, line N: ` of the innermost line of our code; empty if no line is to blame."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_short(error.filename)}, line {error.lineno}: "
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if _is_ours(frame.filename) and Path(frame.filename) not in MACHINERY]
    return f"{_short(ours[-1].filename)}, line {ours[-1].lineno}: " if ours else ""


def _is_ours(filename: str) -> bool:
    return Path(filename).is_relative_to(ROOT) and "site-packages" not in filename


def _short(filename: str) -> str:
    path = Path(filename)
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


MACHINERY = {Path(__file__), Path(template_loading.__file__)}
