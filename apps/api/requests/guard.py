"""Checks of every request before authentication and parsing. It must not know any particular route."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from apps.api.requests.body import check_anonymous
from apps.api.requests.errors import on_refused, printable
from apps.api.requests.problems import FieldError, RequestRefused

Run = Callable[..., HttpResponseBase]


def guarded(run: Run) -> Run:
    """Ninja's `run` of one operation (a bound method), which first refuses unknown and repeated query parameters."""
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
        except RequestRefused as error:
            return on_refused(request, error)
        return run(request, **parameters)

    return checked


def _check_length(request: HttpRequest) -> None:
    """Refuse a body of unknown length: Django would read it as an empty one, and give a wrong answer."""
    if "Transfer-Encoding" in request.headers and not request.META.get("CONTENT_LENGTH"):
        raise RequestRefused("length_required")


def _check_query(request: HttpRequest, known: set[str]) -> None:
    errors = [_error(name, "There is no such parameter.") for name in request.GET if name not in known]
    errors += [
        _error(name, "May be given once.") for name in known & request.GET.keys() if len(request.GET.getlist(name)) > 1
    ]
    if errors:
        raise RequestRefused("invalid_request", errors=errors[:10])


def _error(name: str, message: str) -> FieldError:
    return FieldError(loc=["query", printable(name)], message=message)
