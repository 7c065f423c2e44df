"""What a refusal looks like in an answer: RFC 9457 problem details. It must not know why something was refused."""

from typing import Any

from django.http import HttpResponse
from ninja.responses import NinjaJSONEncoder
from pydantic import BaseModel, Field

from apps.api.requests.codes import CODES

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 2
RESERVED = frozenset({"type", "title", "status", "detail", "code", "errors"})


class FieldError(BaseModel):
    """One thing that is wrong with the request."""

    loc: list[str | int] = Field(description="Where: `body`, `query` or `path`, then the field.")
    message: str = Field(description="What is wrong with it. It never repeats the value.")


class Problem(BaseModel):
    """Why a request was refused. Programs decide by `code`, which never changes its meaning."""

    type: str = Field(description="Always `about:blank`: `title` is the phrase of the status.")
    title: str
    status: int
    detail: str = Field(description="A sentence for a person.")
    code: str = Field(json_schema_extra={"enum": list(CODES)})
    errors: list[FieldError] | None = Field(None, description="With `invalid_request`: each field that is wrong.")


class RequestRefused(Exception):
    """What the API itself refuses, before the domain is asked. `code` is a key of CODES."""

    def __init__(self, code: str, detail: str = "", *, errors: list[FieldError] | None = None) -> None:
        super().__init__(detail or code)
        self.code, self.detail, self.errors = code, detail, errors


def problem(
    code: str,
    detail: str = "",
    *,
    headers: dict[str, str] | None = None,
    errors: list[FieldError] | None = None,
    **extra: Any,
) -> HttpResponse:
    """The answer that refuses with `code` (a key of CODES). `extra` are further members for programs."""
    known = CODES[code]
    body: dict[str, Any] = {key: value for key, value in extra.items() if key not in RESERVED}
    body |= {"type": "about:blank", "title": known.title, "status": known.status}
    body |= {"detail": detail or known.meaning, "code": code}
    if errors is not None:
        body["errors"] = [error.model_dump() for error in errors]
    response = HttpResponse(NinjaJSONEncoder().encode(body), status=known.status, content_type=MEDIA_TYPE)
    response.problem_code = code  # type: ignore[attr-defined]  # ours, for the access log
    if known.status == 503:
        response["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if known.status == 401:
        response["WWW-Authenticate"] = 'Bearer realm="pacsync"'
    for name, value in (headers or {}).items():
        response[name] = value
    return response
