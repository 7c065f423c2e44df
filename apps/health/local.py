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
    broken = load_settings()
    if broken:
        return result(UNDETERMINED, broken, reason="settings_broken")
    failed = load_release()
    if failed:
        return failed
    late = lambda: healthcheck.not_ready("database_unhealthy", {}, f"No answer within {timeout:g} s.")  # noqa: E731
    # The limit is for the database: how long Python and a busy machine take to load the code says nothing of it.
    return healthcheck.bounded(lambda: check_configuration(component), timeout, late)


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


def load_release() -> Result:
    """Load all that a server loads at its start. The result when that fails; empty when it doesn't."""
    from apps.lifecycle import loading

    try:
        loading.load()
    except loading.ReleaseBroken as error:
        text = first_line(error)
        reason = "configuration_invalid" if error.part == loading.CONFIGURATION else "release_broken"
        return result(NOT_READY, text[0].upper() + text[1:], reason=reason)
    return {}


def check_configuration(component: str | None) -> Result:
    """What the health checks say, in this thread."""
    try:
        return judged(component)
    except Exception as error:  # the edge: see above
        return result(UNDETERMINED, f"The checks cannot run: {type(error).__name__}: {first_line(error)}")


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
