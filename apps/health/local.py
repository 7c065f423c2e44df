"""Checks the configuration itself for `manage.py healthcheck`: settings, database, migrations, components.

It loads Django, and says whatever is broken in a sentence. Its reader is the operator at the command line, who may see
the database's own words; nothing of this reaches a web page.
"""

import contextlib
import logging
import warnings
from collections.abc import Iterator

from apps.health import healthcheck
from apps.health.healthcheck import NOT_READY, UNDETERMINED, Result, result


def check(*, component: str | None, timeout: float) -> Result:
    """One try, of at most `timeout` seconds. Raises nothing."""
    with silence():
        return _check(component, timeout)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Nothing is printed or logged but the result."""
    before = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(before)


def _check(component: str | None, timeout: float) -> Result:
    if component and component not in healthcheck.COMPONENTS:
        return healthcheck.component_result(component, dict.fromkeys(healthcheck.COMPONENTS, ""))
    wrong = prepare()
    if wrong:
        return wrong
    # Only now does the time count: what Python needs to load says nothing about the database.
    late = lambda: healthcheck.not_ready("database_unhealthy", {}, f"No answer within {timeout:g} s.")  # noqa: E731
    return healthcheck.bounded(lambda: check_database(component), timeout, late)


def prepare() -> Result | None:
    """Load all that the checks need, and run the system checks. What is wrong without the database; None: nothing."""
    broken = load_settings()
    if broken:
        return result(UNDETERMINED, broken, reason="settings_broken")
    return load_release()


def load_settings() -> str:
    """Set Django up. What is wrong, as a sentence; empty when nothing is."""
    try:
        import django
        from django.apps import apps
        from django.core.exceptions import ImproperlyConfigured
    except ImportError:
        return "Django is not installed for this Python: run it with the project's virtual environment."
    try:
        if not apps.ready:  # they are when it comes through Django
            django.setup()
    except ImproperlyConfigured as error:
        return str(error)
    except Exception as error:  # the edge: whatever the environment holds, the answer is a sentence
        return f"The settings cannot be loaded: {type(error).__name__}: {first_line(error)}"
    return ""


def load_release() -> Result | None:
    """Load all that a server loads at its start. What is wrong with it; None: nothing."""
    from apps.health import schema
    from apps.lifecycle import loading

    try:
        loading.load()
        schema.migrations_of_the_code()
    except loading.ReleaseBroken as error:
        text = first_line(error)
        reason = "configuration_invalid" if error.part == loading.CONFIGURATION else "release_broken"
        return result(NOT_READY, text[0].upper() + text[1:], reason=reason)
    return None


def check_database(component: str | None) -> Result:
    """What the health checks say, in this thread, which ends with it."""
    from django.db import connections

    try:
        return judged(component)
    except Exception as error:  # the edge: whatever is broken, the answer is a sentence
        return result(UNDETERMINED, f"The checks cannot run: {type(error).__name__}: {first_line(error)}")
    finally:
        connections.close_all()


def judged(component: str | None) -> Result:
    from apps.health.checker import Checker
    from apps.lifecycle import registry, writes

    checker = Checker(interval=1)
    checker.step()
    if not checker.snapshot.readiness.reason:
        registry.try_to_write()
        if writes.problem():
            checker.step()
    errors = {name: first_line(text) for name, text in checker.errors.items()}
    snapshot = checker.snapshot
    statuses = {name: str(outcome.status) for name, outcome in snapshot.effective.items()}
    if component:
        return healthcheck.component_result(component, statuses, errors)
    readiness = snapshot.readiness
    if not readiness.reason:
        return result(healthcheck.READY, healthcheck.CAN_SERVE)
    failed = [name for name, status in statuses.items() if status not in ("healthy", "degraded") and name in errors]
    detail = errors[failed[0]] if failed else ""
    return healthcheck.not_ready(readiness.reason, dict(readiness.dependencies), detail)


def first_line(error: object) -> str:
    """The first line of an error's text, as a sentence."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0].strip()
    return text if text.endswith(".") else f"{text}."
