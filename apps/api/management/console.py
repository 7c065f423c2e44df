"""What the management commands share: refusals and an unusable database as one line, never a traceback; names."""

from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import CommandError
from django.db import Error as AnyDatabaseError
from django.db import OperationalError, ProgrammingError, connection

from apps.api.requests import lookups
from apps.fleet import audit, time_input
from apps.fleet.exceptions import FleetError, Invalid, NotFound, PoolRenamed
from apps.fleet.models import Endpoint, Pool

ACTOR = audit.CONSOLE


@contextmanager
def clear_errors() -> Iterator[None]:
    """Raise CommandError, which Django prints as one line with exit code 1."""
    try:
        yield
    except FleetError as error:
        raise CommandError(str(error)) from error
    except (OperationalError, ProgrammingError) as error:
        raise CommandError(_why(error)) from error
    except AnyDatabaseError as error:
        raise CommandError(f"The database refused it: {error}") from error
    finally:
        connection.close()


def _why(error: AnyDatabaseError) -> str:
    text = str(error).splitlines()[0]
    if "no such table" in text or "does not exist" in text:
        return f"The database isn't migrated: run `{settings.MANAGE_COMMAND} migrate` first. ({text})"
    return f"The database can't be used: {text}"


def pool_named(name: str) -> Pool:
    """The pool with its target. Raises CommandError, which has the current name of a renamed pool."""
    try:
        return lookups.pool_named(name)
    except PoolRenamed as error:
        raise CommandError(str(error)) from error
    except NotFound as error:
        raise CommandError(f"There is no pool {name!r}.") from error


def endpoint_named(name: str) -> Endpoint:
    """The endpoint with its pool and the pool's target. Raises CommandError."""
    try:
        return lookups.endpoint_named(name)
    except NotFound as error:
        raise CommandError(f"There is no endpoint {name!r}.") from error


def account_named(name: str) -> User:
    """The account with this name, active or not. Raises CommandError."""
    found = User.objects.filter(username=name).first() if "\0" not in name else None
    if found is None:
        raise CommandError(f"There is no account {name!r}. `{settings.MANAGE_COMMAND} roles` lists them.")
    return found


def moment(text: str) -> datetime:
    """The moment that an option gives, in UTC if it names no zone. Raises ArgumentTypeError."""
    try:
        return time_input.parse(text, field="It")
    except Invalid as error:
        raise ArgumentTypeError(str(error)) from error
