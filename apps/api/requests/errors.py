"""The one place where an exception becomes an answer. Routes raise and never catch.

It must not know any particular route; apps/api/requests/codes.py has the meaning of each code.
"""

import logging
from collections.abc import Callable
from typing import Any

from django.core.exceptions import ObjectDoesNotExist, RequestDataTooBig, SuspiciousOperation
from django.db import Error as AnyDatabaseError
from django.db import IntegrityError
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError

from apps.api.requests import principal
from apps.api.requests.fields import PATTERNS
from apps.api.requests.problems import FieldError, RequestRefused, problem
from apps.fleet.exceptions import FleetError, PoolRenamed
from apps.lifecycle import failure_reason
from apps.lifecycle.dbpool import write_state
from apps.lifecycle.dbpool.facade import DatabaseUnavailable, DbpoolExhausted, is_not_migrated, is_unavailable
from apps.lifecycle.dbpool.middleware import BUSY, UNAVAILABLE, code_of

log = logging.getLogger(__name__)
MAX_FIELD_ERRORS = 10
# PostgreSQL's classes: 40 rolled back (deadlock), 55 locked, 53300 too many connections, 57014 statement timeout.
BUSY_STATES = ("40", "55", "53300", "57014")
BUSY_CAUSES = frozenset({"PoolTimeout", "TooManyRequests"})  # of psycopg_pool: the dbpool is exhausted


def on_refused(request: HttpRequest, error: RequestRefused) -> HttpResponse:
    return problem(error.code, error.detail, errors=error.errors)


def on_fleet_error(request: HttpRequest, error: FleetError) -> HttpResponse:
    extra = dict(error.extra)
    field = extra.pop("field", None)
    errors = [FieldError(loc=["body", *field.split(".")], message=str(error))] if field else None
    wait = getattr(error, "retry_after", None)
    headers = {"Retry-After": str(wait)} if wait else None
    return problem(error.code, str(error), errors=errors, headers=headers, **extra)


def on_renamed(request: HttpRequest, error: PoolRenamed) -> HttpResponse:
    """Redirects a read to the current name. Refuses a change: its sender has to decide again."""
    before, mark, rest = request.get_full_path().partition(f"/pools/{error.former}")
    if request.method in ("GET", "HEAD") and mark and rest[:1] in ("", "/", "?"):
        return HttpResponse(status=308, headers={"Location": f"{before}/pools/{error.name}{rest}"})
    return on_fleet_error(request, error)


def on_validation_error(request: HttpRequest, error: ValidationError) -> HttpResponse:
    """The first ten errors, so that an answer is never much longer than its request."""
    errors = [field_error(one) for one in error.errors[:MAX_FIELD_ERRORS]]
    more = len(error.errors) - len(errors)
    rest = f" The first {MAX_FIELD_ERRORS} are listed; there are {more} more." if more else ""
    return problem(
        "invalid_request", f"The request has fields that are missing, unknown or wrong.{rest}", errors=errors
    )


def field_error(error: dict[str, Any]) -> FieldError:
    """One pydantic error, without the value that was sent, which may be a secret.

    After `body`, Ninja puts the name of the route's parameter, always `payload`; the client doesn't know that name.
    """
    parts = [part for place, part in enumerate(error["loc"]) if (place, part) != (1, "payload")]
    location = [part if isinstance(part, int) else printable(part) for part in parts]
    said = PATTERNS.get(error.get("ctx", {}).get("pattern"), error["msg"].removeprefix("Value error, "))
    return FieldError(loc=location, message=printable(said, 200))


def printable(text: object, length: int = 64) -> str:
    """The text as one line of valid UTF-8: a client may have put anything in a key."""
    return str(text)[:length].encode("utf-8", "replace").decode()


def on_unauthenticated(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    """None of the route's ways let the request in: 403 for a known sender, else 401. The ways have noted who it is."""
    return problem("forbidden" if principal.noted(request) else "token_invalid")


def on_http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    """Ninja wraps what the parser raises in a 400, which is unwrapped here."""
    if isinstance(error.__cause__, RequestRefused):
        return on_refused(request, error.__cause__)
    return problem("bad_request", str(error))


def on_not_found(request: HttpRequest, error: Exception) -> HttpResponse:
    return problem("not_found")


def on_too_large(request: HttpRequest, error: Exception) -> HttpResponse:
    return problem("too_large")


def on_bad_request(request: HttpRequest, error: Exception) -> HttpResponse:
    return problem("bad_request")


def on_database_error(request: HttpRequest, error: AnyDatabaseError) -> HttpResponse:
    """The error's text may name hosts, so it only goes to the log."""
    failure_reason.note(request, f"{type(error).__name__}: {error}")
    if isinstance(error, IntegrityError):
        return problem("conflict", "Something that this request depends on was changed at the same time.")
    if not (is_unavailable(error) or is_not_migrated(error) or write_state.problem_of(error)):
        return on_exception(request, error)
    code = code_of(error, request.method or "")
    if code == UNAVAILABLE and is_busy(error):
        code = BUSY
    return problem(code)


def is_busy(error: AnyDatabaseError) -> bool:
    """Whether the database is there but busy: it makes sense to try again at once."""
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
    RequestRefused: on_refused,
    PoolRenamed: on_renamed,
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
    """Have `api` answer each exception by this table; the nearest class in the exception's ancestry wins."""
    for exception, handler in HANDLERS.items():
        api.add_exception_handler(exception, handler)
