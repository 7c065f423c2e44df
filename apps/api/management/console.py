"""What the management commands of access share: refusals and an unusable database as one line, never a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.core.management.base import CommandError
from django.db import Error as AnyDatabaseError
from django.db import OperationalError, ProgrammingError, connection

from apps.fleet.exceptions import FleetError

# Who did it, in the audit: somebody with a shell on the server.
ACTOR = "console"


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
