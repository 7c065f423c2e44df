"""Completes Ninja's OpenAPI document: which problems each route answers with. It must not know any particular route."""

from typing import Any

from ninja.errors import ConfigError
from pydantic.json_schema import models_json_schema

from apps.api.requests.codes import CODES
from apps.api.requests.problems import MEDIA_TYPE, FieldError, Problem

REF = "#/components/schemas/{model}"
ALWAYS = ("bad_request", "rate_limited", "internal_error", "busy", "database_unavailable", "shutting_down")
WITH_AUTH = ("token_invalid", "token_expired", "forbidden")
# The codes of routes that compare states (`refuses(*COMPARES)`).
COMPARES = ("state_too_large", "comparison_too_long")
POOLS = "/api/v1/pools"
MOVED = "The pool was renamed: `Location` is the same under its current name."
# What an endpoint may do before an operator has approved it.
UNAPPROVED = ("/api/v1/checkin", "/api/v1/me")
WITH_BODY = ("too_large", "length_required", "unsupported_media_type")


def refuses(*codes: str, **extra: Any) -> dict[str, Any]:
    """`openapi_extra` of a route: its own codes, in addition to those that its signature implies."""
    unknown = set(codes) - CODES.keys()
    if unknown:
        raise ConfigError(f"no such codes: {unknown}")
    return {"x-codes": list(codes), **extra}


def uploads(what: str, limit: int) -> dict[str, Any]:
    """`openapi_extra` of a route whose body is a text of at most `limit` bytes after decompression."""
    return {
        "parameters": [
            {
                "in": "header",
                "name": "Content-Encoding",
                "schema": {"type": "string", "enum": ["gzip", "identity"], "default": "identity"},
                "required": False,
            }
        ],
        "requestBody": {
            "required": True,
            "description": f"{what} At most {limit:,} bytes, counted after decompression.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
    }


def complete(schema: dict[str, Any]) -> None:
    """Add the problems to every operation of the document, and their schema to its components."""
    components = schema["components"]["schemas"]
    _, definitions = models_json_schema([(Problem, "serialization"), (FieldError, "serialization")], ref_template=REF)
    components.update(definitions["$defs"])
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            _add_problems(operation, path, method)


def _add_problems(operation: dict[str, Any], path: str, method: str) -> None:
    codes = {*operation.pop("x-codes", ()), *_codes_by_shape(operation, path, method)}
    by_status: dict[int, list[str]] = {}
    for code in CODES:  # in the table's order
        if code in codes:
            by_status.setdefault(CODES[code].status, []).append(code)
    responses = operation["responses"]
    if method == "get" and path.startswith(f"{POOLS}/{{name}}"):
        responses[308] = {"description": MOVED, "headers": {"Location": {"schema": {"type": "string"}}}}
    for status, names in sorted(by_status.items()):
        responses.setdefault(status, _response(names))
    operation["x-codes"] = [name for names in by_status.values() for name in names]


def _codes_by_shape(operation: dict[str, Any], path: str, method: str) -> set[str]:
    codes = set(ALWAYS)
    if operation.get("security"):
        codes.update(WITH_AUTH)
        if method != "get" and any("Session" in way for way in operation["security"]):
            codes.add("csrf_failed")
        if path not in UNAPPROVED and any("EndpointToken" in way for way in operation["security"]):
            codes.add("approval_pending")
    if "{" in path:
        codes.add("not_found")
    if "requestBody" in operation:
        codes.update(WITH_BODY)
        if "application/json" in operation["requestBody"]["content"]:
            codes.update(("invalid_json", "too_complex"))
    codes.add("invalid_request")  # an unknown query parameter, on every route
    return codes


def _response(codes: list[str]) -> dict[str, Any]:
    text = "\n".join(f"- `{code}`: {CODES[code].meaning}" for code in codes)
    schema = {"$ref": REF.format(model="Problem")}
    response: dict[str, Any] = {"description": text, "content": {MEDIA_TYPE: {"schema": schema}}}
    if CODES[codes[0]].status in (429, 503):
        response["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
    if CODES[codes[0]].status == 401:
        response["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    return response
