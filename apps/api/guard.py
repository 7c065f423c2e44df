"""What is checked of every request before authentication and parsing. It must not know single routes."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from apps.api.body import check_anonymous
from apps.api.errors import on_refused, printable
from apps.api.problems import FieldError, Refused

Run = Callable[..., HttpResponseBase]


def guarded(run: Run) -> Run:
    """Ninja's `run` of one operation (a bound method), refusing unknown and repeated query parameters first."""
    operation: Any = getattr(run, "__self__", None)
    models = [model for model in operation.models if model.__ninja_param_source__ == "query"]
    known = {name for model in models for name in model.__ninja_flatten_map__}

    @wraps(run)
    def checked(request: HttpRequest, **parameters: Any) -> HttpResponseBase:
        try:
            _check_length(request)
            if not operation.auth_callbacks:
                check_anonymous(request)
            _check_query(request, known)
        except Refused as error:
            return on_refused(request, error)
        return run(request, **parameters)

    return checked


def _check_length(request: HttpRequest) -> None:
    """Django reads a body of unknown length as an empty one, which would be a wrong answer instead of a refusal."""
    if "Transfer-Encoding" in request.headers and not request.META.get("CONTENT_LENGTH"):
        raise Refused("length_required")


def _check_query(request: HttpRequest, known: set[str]) -> None:
    errors = [_error(name, "There is no such parameter.") for name in request.GET if name not in known]
    errors += [
        _error(name, "May be given once.") for name in known & request.GET.keys() if len(request.GET.getlist(name)) > 1
    ]
    if errors:
        raise Refused("invalid_request", errors=errors[:10])


def _error(name: str, message: str) -> FieldError:
    return FieldError(loc=["query", printable(name)], message=message)
