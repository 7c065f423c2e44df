"""The one place where an exception becomes an answer. Routes raise and never catch.

It must not know single routes; what a code means is in apps/api/codes.py.
"""

import logging
from collections.abc import Callable
from typing import Any

from django.core.exceptions import ObjectDoesNotExist, RequestDataTooBig, SuspiciousOperation
from django.db import Error as AnyDatabaseError
from django.db import IntegrityError, ProgrammingError
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError

from apps.api.auth import principal_of
from apps.api.fields import PATTERNS
from apps.api.problems import FieldError, Refused, problem
from apps.fleet.exceptions import FleetError, Renamed
from apps.lifecycle.dbpool import DatabaseUnavailable, DbpoolExhausted, is_unavailable
from apps.lifecycle.middleware import BUSY, UNAVAILABLE, code_of

log = logging.getLogger(__name__)
MAX_FIELD_ERRORS = 10
# PostgreSQL's classes: 40 rolled back (deadlock), 55 locked, 53300 too many connections, 57014 statement timeout.
BUSY_STATES = ("40", "55", "53300", "57014")
BUSY_CAUSES = frozenset({"PoolTimeout", "TooManyRequests"})  # of psycopg_pool: the dbpool is exhausted


def on_refused(request: HttpRequest, error: Refused) -> HttpResponse:
    return problem(error.code, error.detail, errors=error.errors)


def on_fleet_error(request: HttpRequest, error: FleetError) -> HttpResponse:
    extra = dict(error.extra)
    field = extra.pop("field", None)
    errors = [FieldError(loc=["body", *field.split(".")], message=str(error))] if field else None
    wait = getattr(error, "retry_after", None)
    headers = {"Retry-After": str(wait)} if wait else None
    return problem(error.code, str(error), errors=errors, headers=headers, **extra)


def on_renamed(request: HttpRequest, error: Renamed) -> HttpResponse:
    """Whoever reads is led on to the current name; whoever changes something is told, and decides again."""
    before, mark, rest = request.get_full_path().partition(f"/pools/{error.former}")
    if request.method in ("GET", "HEAD") and mark and rest[:1] in ("", "/", "?"):
        return HttpResponse(status=308, headers={"Location": f"{before}/pools/{error.name}{rest}"})
    return on_fleet_error(request, error)


def on_validation_error(request: HttpRequest, error: ValidationError) -> HttpResponse:
    """The first ten errors: an answer is never much longer than its request was."""
    errors = [field_error(one) for one in error.errors[:MAX_FIELD_ERRORS]]
    more = len(error.errors) - len(errors)
    rest = f" The first {MAX_FIELD_ERRORS} are listed; there are {more} more." if more else ""
    return problem(
        "invalid_request", f"The request has fields that are missing, unknown or wrong.{rest}", errors=errors
    )


def field_error(error: dict[str, Any]) -> FieldError:
    """One error of pydantic's without the value that was sent, which may be a secret.

    Ninja puts the name of the route's parameter, always `payload`, behind `body`; the client doesn't know it.
    """
    parts = [part for place, part in enumerate(error["loc"]) if (place, part) != (1, "payload")]
    location = [part if isinstance(part, int) else printable(part) for part in parts]
    said = PATTERNS.get(error.get("ctx", {}).get("pattern"), error["msg"].removeprefix("Value error, "))
    return FieldError(loc=location, message=printable(said, 200))


def printable(text: object, length: int = 64) -> str:
    """The text as one line of valid UTF-8: a client may have put anything in a key."""
    return str(text)[:length].encode("utf-8", "replace").decode()


def on_unauthenticated(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    """No way of the route let the request in: 403 for somebody we know, else 401."""
    if principal_of(request):
        return problem("forbidden")
    return problem("token_invalid")


def on_http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    """Ninja wraps what the parser raises in a 400."""
    if isinstance(error.__cause__, Refused):
        return on_refused(request, error.__cause__)
    return problem("bad_request", str(error))


def on_not_found(request: HttpRequest, error: Exception) -> HttpResponse:
    return problem("not_found")


def on_too_large(request: HttpRequest, error: Exception) -> HttpResponse:
    return problem("too_large")


def on_bad_request(request: HttpRequest, error: Exception) -> HttpResponse:
    return problem("bad_request")


def on_database_error(request: HttpRequest, error: AnyDatabaseError) -> HttpResponse:
    """Its text may name hosts: it goes to the log only."""
    if isinstance(error, IntegrityError):
        log.warning("a constraint refused the request: %s", error)
        return problem("conflict", "Something that this request depends on was changed at the same time.")
    if not (is_unavailable(error) or isinstance(error, ProgrammingError)):  # the latter: not migrated
        return on_exception(request, error)
    code = code_of(error, request.method or "")
    if code == UNAVAILABLE and is_busy(error):
        code = BUSY
    log.warning("%s: %s", code, error)
    return problem(code)


def is_busy(error: AnyDatabaseError) -> bool:
    """Whether the database is there, only occupied: it makes sense to try again at once."""
    if isinstance(error, (DbpoolExhausted, DatabaseUnavailable)):
        return isinstance(error, DbpoolExhausted)
    cause = error.__cause__
    state = getattr(cause, "sqlstate", None) or ""
    locked = "database is locked" in str(error)  # SQLite
    return type(cause).__name__ in BUSY_CAUSES or state.startswith(BUSY_STATES) or locked


def on_exception(request: HttpRequest, error: Exception) -> HttpResponse:
    log.exception("unexpected error in %s %s", request.method, request.path, exc_info=error)
    return problem("internal_error")


HANDLERS: dict[type[Exception], Callable[[HttpRequest, Any], HttpResponse]] = {
    Exception: on_exception,
    Refused: on_refused,
    Renamed: on_renamed,
    FleetError: on_fleet_error,
    ValidationError: on_validation_error,
    AuthenticationError: on_unauthenticated,
    HttpError: on_http_error,
    Http404: on_not_found,
    ObjectDoesNotExist: on_not_found,
    RequestDataTooBig: on_too_large,
    SuspiciousOperation: on_bad_request,
    UnreadablePostError: on_bad_request,
    AnyDatabaseError: on_database_error,
}


def install(api: NinjaAPI) -> None:
    """Let `api` answer each exception by this table; the nearest class in the exception's ancestry wins."""
    for exception, handler in HANDLERS.items():
        api.add_exception_handler(exception, handler)
