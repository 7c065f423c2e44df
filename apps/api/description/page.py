"""The OpenAPI document as a page for people: sections of operations, each with fields, codes and a curl line.

Everything on the page comes from the document, so the two can't differ. It must not know any particular route.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from apps.api.requests.codes import CODES

Json = dict[str, Any]
WAYS = {"ApiToken": "API token", "Session": "dashboard session", "EndpointToken": "endpoint token"}


def rich(text: str) -> SafeString:
    """The text as HTML: escaped, with anything in backticks as code."""
    parts = text.split("`")
    return format_html_join(
        "", "{}", ((format_html("<code>{}</code>", p) if n % 2 else p,) for n, p in enumerate(parts))
    )


@dataclass(frozen=True)
class Field:
    """One line of a table: a parameter, or a field of a body by its path (`repositories[].name`)."""

    name: str
    type: str
    required: bool
    description: SafeString
    place: str = ""


@dataclass(frozen=True)
class Answer:
    status: int
    description: str
    fields: list[Field]


@dataclass(frozen=True)
class RouteEntry:
    """One operation: everything that its part of the page shows."""

    anchor: str
    method: str
    path: str
    summary: str
    description: SafeString
    ways: list[str]
    parameters: list[Field]
    body_note: SafeString
    body: list[Field]
    answers: list[Answer]
    codes: list[tuple[str, int]]
    curl: str


@dataclass(frozen=True)
class Section:
    title: str
    anchor: str
    entries: list[RouteEntry] = field(default_factory=list)


def sections(document: Json) -> list[Section]:
    """The document's operations by tag, in the document's order."""
    found: dict[str, Section] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            tag = operation["tags"][0]
            section = found.setdefault(tag, Section(tag.capitalize(), tag.replace(" ", "-")))
            section.entries.append(_entry(document, path, method, operation))
    return list(found.values())


def _entry(document: Json, path: str, method: str, operation: Json) -> RouteEntry:
    content = operation.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema")
    ways = [WAYS[name] for way in operation.get("security", []) for name in way]
    return RouteEntry(
        anchor=operation["operationId"],
        method=method.upper(),
        path=path,
        summary=operation["summary"],
        description=rich(operation.get("description", "")),
        ways=ways,
        parameters=[_parameter(document, one) for one in operation["parameters"]],
        body_note=rich(operation.get("requestBody", {}).get("description", "")),
        body=list(_fields(document, schema)) if schema else [],
        answers=list(_answers(document, operation["responses"])),
        codes=[(code, CODES[code].status) for code in operation["x-codes"]],
        curl=_curl(document, path, method.upper(), schema, upload="text/plain" in content, anonymous=not ways),
    )


def _parameter(document: Json, parameter: Json) -> Field:
    schema = parameter["schema"]
    text = parameter.get("description", schema.get("description", ""))
    return Field(parameter["name"], type_text(document, schema), parameter["required"], rich(text), parameter["in"])


def _answers(document: Json, responses: dict[Any, Json]) -> Iterator[Answer]:
    for status, response in responses.items():
        if int(status) < 400:
            schema = response.get("content", {}).get("application/json", {}).get("schema")
            yield Answer(int(status), response["description"], list(_fields(document, schema)) if schema else [])


def _fields(document: Json, schema: Json, prefix: str = "") -> Iterator[Field]:
    """The fields of an object. Those of an object inside it come after its own line."""
    schema = _resolve(document, schema)
    required = schema.get("required", [])
    for name, one in schema.get("properties", {}).items():
        resolved = _resolve(document, one)
        description = rich(one.get("description", ""))
        yield Field(prefix + name, type_text(document, one), name in required, description)
        inner = _resolve(document, resolved["items"]) if resolved.get("type") == "array" else resolved
        if "properties" in inner:
            yield from _fields(document, inner, f"{prefix}{name}{'[]' if inner is not resolved else ''}.")


def _resolve(document: Json, schema: Json) -> Json:
    """The schema behind `$ref`, `allOf` of one and `anyOf` with null."""
    if "$ref" in schema:
        return _resolve(document, document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]])
    if len(schema.get("allOf", ())) == 1:
        return _resolve(document, schema["allOf"][0])
    others = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    return _resolve(document, others[0]) if len(others) == 1 else schema


def type_text(document: Json, schema: Json) -> str:
    """The type in a few words: `text, at most 63`, `list of object`, `one of sync, revert, or null`."""
    nullable = any(one.get("type") == "null" for one in schema.get("anyOf", ()))
    resolved = _resolve(document, schema)
    text = _plain_type(document, resolved) + (", or null" if nullable else "")
    return f"{text} (default {json.dumps(schema['default'])})" if "default" in schema else text


def _plain_type(document: Json, schema: Json) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    if "const" in schema:
        return f"always {schema['const']}"
    kind = schema.get("type", "any")
    if kind == "array":
        most = f" (at most {schema['maxItems']:,})" if "maxItems" in schema else ""
        return f"list of {_plain_type(document, _resolve(document, schema['items']))}{most}"
    if kind == "integer" and "maximum" in schema:
        return f"integer, {schema.get('minimum', schema.get('exclusiveMinimum', 0))} to {schema['maximum']}"
    if kind == "string":
        most = f", at most {schema['maxLength']:,}" if "maxLength" in schema else ""
        pattern = schema.get("pattern", "^[^")
        shape = "" if pattern.startswith("^[^") else f", matching {pattern}"
        return {"uuid": "UUID", "date-time": "time (RFC 3339)"}.get(schema.get("format", ""), "text") + most + shape
    return str(kind)


def _curl(document: Json, path: str, method: str, schema: Json | None, *, upload: bool, anonymous: bool) -> str:
    lines = ["curl" + (f" -X {method}" if method != "GET" else "")]
    if not anonymous:
        lines.append('-H "Authorization: Bearer $TOKEN"')
    if schema:
        lines += [
            "-H 'Content-Type: application/json'",
            f"-d '{json.dumps(_example(document, schema), ensure_ascii=False)}'",
        ]
    if upload:
        lines += ["-H 'Content-Encoding: gzip'", "--data-binary @text.gz"]
    shown = path.replace("{", "").replace("}", "").replace("/name", "/NAME").replace("/number", "/1")
    shown = shown.replace("operation_id", "ID").replace("code_id", "1").replace("/digest", "/DIGEST")
    return " \\\n  ".join([*lines, f'"$PACSYNC{shown}"'])


EXAMPLES = {
    "name": "lab", "endpoint": "m1", "pool": "lab", "source": "staging", "code": "psc_…", "arch": "x86_64",
    "lease_token": "7f0c2c1e-98a5-4d0b-9a55-0a6d5cf1a3d1", "state": "0" * 64, "digest": "0" * 64,
}  # fmt: skip


def _example(document: Json, schema: Json) -> Json:
    """A body with only the required fields."""
    schema = _resolve(document, schema)
    properties = schema.get("properties", {})
    return {name: _example_value(document, name, properties[name]) for name in schema.get("required", [])}


def _example_value(document: Json, name: str, schema: Json) -> Any:
    resolved = _resolve(document, schema)
    if name in EXAMPLES:
        return EXAMPLES[name]
    if "enum" in resolved:
        return resolved["enum"][0]
    return {"integer": 1, "boolean": True, "array": [], "string": "text"}.get(resolved.get("type", ""))
