"""Gives every request an id and a time limit. Below /api/ it turns every error into a problem, whoever made it.

It must not know about routes: what the API itself answers passes through.
"""

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from apps.api.requests.body import drain
from apps.api.requests.problems import MEDIA_TYPE, problem
from apps.fleet import time_limit
from apps.lifecycle import failure_reason
from apps.lifecycle.wsgi import request_id

PREFIX = "/api/"
# Codes for what Django refuses before or after the API: an unknown path or host, a method, an error in a middleware.
BY_STATUS = {
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    429: "rate_limited",
    500: "internal_error",
    503: "busy",
}
ABOUT_BODY = ("content-type", "content-length", "content-encoding", "etag", "last-modified")
"""Headers of the answer that a problem replaces; its others (what a browser may do with it, Allow, Vary) stay."""


class RequestMiddleware:
    """Outermost, so that no answer escapes it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        identity = request_id.choose(request.headers.get(request_id.HEADER))
        request_id.begin(identity)
        time_limit.begin()
        try:
            response = self.get_response(request)
        finally:
            time_limit.end()
        if request.path_info.startswith(PREFIX):
            response = _as_problem(response)
            if response.status_code >= 300:  # its body was not read
                drain(request)
            failure_reason.note(request, getattr(response, "problem_code", ""))
            response["Cache-Control"] = "no-store"
        elif response.status_code >= 400:  # a missing static file must not stay missing in a cache
            response.setdefault("Cache-Control", "no-store")
        response[request_id.HEADER] = identity
        return response


def _as_problem(response: HttpResponseBase) -> HttpResponseBase:
    status = response.status_code
    if status < 400 or response.get("Content-Type", "").startswith((MEDIA_TYPE, "application/json")):
        return response
    code = getattr(response, "problem_code", "") or BY_STATUS.get(
        status, "bad_request" if status < 500 else "internal_error"
    )
    kept = {name: value for name, value in response.items() if name.lower() not in ABOUT_BODY}
    return problem(code, headers=kept)
