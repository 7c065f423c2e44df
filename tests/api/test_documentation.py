"""The OpenAPI document and its page: complete, nothing from elsewhere, no script."""

import importlib
import json
import pkgutil
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from django.test import Client
from pydantic import BaseModel

from apps.api import routes
from apps.api.requests.codes import CODES
from tests.api.support import ROOT

pytestmark = pytest.mark.django_db


@pytest.fixture
def document() -> Any:
    return json.loads(Client().get(f"{ROOT}/openapi.json").content)


def operations(document: Any) -> list[tuple[str, str, Any]]:
    return [(path, method, op) for path, all_ in document["paths"].items() for method, op in all_.items()]


def test_every_module_of_routes_is_served_and_declares_no_schema(document: Any) -> None:
    served = {operation["operationId"] for _, _, operation in operations(document)}
    found = pkgutil.walk_packages(routes.__path__, f"{routes.__name__}.")
    modules = [importlib.import_module(name) for _, name, is_package in found if not is_package]
    assert sum(hasattr(module, "router") for module in modules) > 10
    for module in modules:
        mine = [one for one in vars(module).values() if getattr(one, "__module__", "") == module.__name__]
        if hasattr(module, "router"):
            assert served & {getattr(one, "__name__", "") for one in mine}, f"{module.__name__}: not in apps/api/api.py"
        models = [one for one in mine if isinstance(one, type) and issubclass(one, BaseModel)]
        # Pydantic puts a class like Page[PoolOut] into the module that names it.
        declared = [one.__name__ for one in models if one.__pydantic_generic_metadata__["origin"] is None]
        assert declared == [], f"{module.__name__}: they belong to apps/api/schemas/"


def test_openapi_every_operation_documents_its_problems(document: Any) -> None:
    assert document["openapi"].startswith("3.1")
    for path, method, operation in operations(document):
        where = f"{method} {path}"
        assert operation["summary"] and operation["tags"], where
        assert {"422", "500", "503"} <= operation["responses"].keys(), where
        assert ("401" in operation["responses"]) == ("security" in operation) == (not path.endswith("/enroll")), where
        assert "{" not in path or "404" in operation["responses"], where
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert list(response["content"]) == ["application/problem+json"], where


def test_openapi_every_reference_resolves(document: Any) -> None:
    names = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert names and names <= document["components"]["schemas"].keys()


def test_openapi_every_request_body_forbids_what_it_does_not_know(document: Any) -> None:
    bodies = 0
    for path, _, operation in operations(document):
        schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
        if schema:
            bodies += 1
            named = next(one for one in (schema, *schema.get("anyOf", ())) if "$ref" in one)  # or null
            component = document["components"]["schemas"][named["$ref"].rsplit("/", 1)[1]]
            assert component["additionalProperties"] is False, path
    assert bodies > 10


def test_openapi_every_string_and_list_of_a_body_is_bounded(document: Any) -> None:
    def check(schema: Any, where: str) -> None:
        if "$ref" in schema:
            name = schema["$ref"].rsplit("/", 1)[1]
            check(document["components"]["schemas"][name], name)
        for one in (*schema.get("anyOf", ()), *schema.get("properties", {}).values()):
            check(one, f"{where} {one.get('title', '')}")
        if schema.get("type") == "string" and not {"enum", "format", "const"} & schema.keys():
            assert "maxLength" in schema or re.search(r"\{\d+(,\d+)?\}\$$", schema["pattern"]), where
        if schema.get("type") == "integer":
            assert "maximum" in schema and "minimum" in schema, where
        if schema.get("type") == "array":
            assert "maxItems" in schema, where
            check(schema["items"], where)

    for path, _, operation in operations(document):
        for media in operation.get("requestBody", {}).get("content", {}).values():
            if "$ref" in media["schema"]:
                check(media["schema"], path)


class Page(HTMLParser):
    """Collects what a page loads, links to and is linked by."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        self.attributes |= found.keys()
        self.loads += [value or "" for name, value in attrs if name == "src" or (tag == "link" and name == "href")]
        self.links += [value or "" for name, value in attrs if tag == "a" and name == "href"]
        self.ids += [value or "" for name, value in attrs if name == "id"]


@pytest.fixture
def page() -> Page:
    response = Client().get(f"{ROOT}/docs")
    assert response.status_code == 200 and response["Content-Type"].startswith("text/html")
    policy = response["Content-Security-Policy"]
    assert "default-src 'self'" in policy and "unsafe" not in policy
    page = Page()
    page.feed(response.content.decode())
    return page


def test_docs_page_loads_nothing_from_elsewhere_and_has_no_script(page: Page) -> None:
    assert "script" not in page.tags and "style" not in page.tags
    assert not {name for name in page.attributes if name.startswith("on") or name == "style"}
    assert page.loads and all(address.startswith("/static/") for address in page.loads)


def test_docs_page_every_link_into_it_has_its_place(page: Page) -> None:
    assert len(page.ids) == len(set(page.ids))
    inner = {link[1:] for link in page.links if link.startswith("#")}
    assert inner and inner <= set(page.ids)


def test_docs_page_has_every_operation_and_code(page: Page, document: Any) -> None:
    assert {operation["operationId"] for _, _, operation in operations(document)} <= set(page.ids)
    assert {f"code-{code}" for code in CODES} <= set(page.ids)


def test_docs_page_needs_no_database(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        Client().get(f"{ROOT}/docs")
        Client().get(f"{ROOT}/openapi.json")
