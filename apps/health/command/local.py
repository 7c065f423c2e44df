"""Checks the configuration itself for `manage.py healthcheck`: settings, database, migrations, dependencies.

It loads Django, and turns whatever is broken into a sentence. Its reader is the operator at the command line, who may
see the database's error; none of this reaches a web page.
"""

import contextlib
import logging
import warnings
from collections.abc import Iterator

from apps.health.command import options
from apps.health.command.exit_codes import (
    NOT_READY,
    UNDETERMINED,
    Result,
    bounded,
    component_result,
    not_ready,
    ready,
    result,
)


def check(*, component: str | None, timeout: float) -> Result:
    """One attempt of at most `timeout` seconds. Raises nothing."""
    with silence():
        return _check(component, timeout)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Inside, nothing is printed or logged except the result."""
    before = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(before)


def _check(component: str | None, timeout: float) -> Result:
    if component and component not in options.COMPONENTS:
        return component_result(component, dict.fromkeys(options.COMPONENTS, ""))
    wrong = prepare()
    if wrong:
        return wrong
    # The time counts only from here: how long Python takes to load says nothing about the database.
    late = lambda: not_ready("database_unhealthy", {}, f"No answer within {timeout:g} s.")  # noqa: E731
    return bounded(lambda: check_database(component), timeout, late)


def prepare() -> Result | None:
    """Load what the checks need, and run the system checks. Returns what is wrong apart from the database, or None."""
    broken = load_settings()
    if broken:
        return result(UNDETERMINED, broken, reason="settings_broken")
    return load_release()


def load_settings() -> str:
    """Set Django up. Returns what is wrong, as a sentence; empty if nothing is."""
    try:
        import django
        from django.apps import apps
        from django.core.exceptions import ImproperlyConfigured
    except ImportError:
        return "Django is not installed for this Python: run it with the project's virtual environment."
    try:
        if not apps.ready:  # they are ready if Django runs the command
            django.setup()
    except ImproperlyConfigured as error:
        return str(error)
    except Exception as error:  # the edge: whatever the environment holds, the answer is a sentence
        return f"The settings cannot be loaded: {type(error).__name__}: {first_line(error)}"
    return ""


def load_release() -> Result | None:
    """Load everything that a server loads at its start. Returns what is wrong with it, or None."""
    from apps.health.checks import migrations
    from apps.lifecycle import preloading

    try:
        preloading.load()
        migrations.migrations_of_the_code()
    except preloading.ReleaseBroken as error:
        text = first_line(error)
        reason = "configuration_invalid" if error.part == preloading.CONFIGURATION else "release_broken"
        return result(NOT_READY, text[0].upper() + text[1:], reason=reason)
    return None


def check_database(component: str | None) -> Result:
    """What the health checks say. The thread that runs this ends with it."""
    from django.db import connections

    try:
        return run_checks(component)
    except Exception as error:  # the edge: whatever is broken, the answer is a sentence
        return result(UNDETERMINED, f"The checks cannot run: {type(error).__name__}: {first_line(error)}")
    finally:
        connections.close_all()


def run_checks(component: str | None) -> Result:
    """Run the checks, and try a write if they find nothing wrong. Raises whatever is broken in them."""
    from apps.health.checking.checker import Checker
    from apps.lifecycle import registry
    from apps.lifecycle.dbpool import write_state

    checker = Checker(interval=1)
    checker.step()
    if not checker.results.readiness.reason:
        registry.try_to_write()
        if write_state.problem():
            checker.step()
    errors = {name: first_line(text) for name, text in checker.errors.items()}
    results = checker.results
    statuses = {name: str(outcome.status) for name, outcome in results.effective.items()}
    if component is not None:
        return component_result(component, statuses, errors)
    readiness = results.readiness
    if not readiness.reason:
        return ready()
    failed = [name for name, status in statuses.items() if status not in ("healthy", "degraded") and name in errors]
    detail = errors[failed[0]] if failed else ""
    return not_ready(readiness.reason, dict(readiness.dependencies), detail)


def first_line(error: object) -> str:
    """The first line of an error's text, as a sentence."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0].strip()
    return text if text.endswith(".") else f"{text}."
