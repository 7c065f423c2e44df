"""The page /api/v1/docs: the OpenAPI document, rendered without scripts and without anything from other servers."""

from functools import cache

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.safestring import SafeString
from ninja.openapi.docs import DocsBase

from apps.api.description.page import Section, rich, sections
from apps.api.requests.codes import CODES


@cache
def _sections(api: object) -> list[Section]:
    return sections(api.get_openapi_schema())  # type: ignore[attr-defined]


def _codes() -> list[tuple[str, int, SafeString]]:
    return [(name, code.status, rich(code.meaning)) for name, code in CODES.items()]


class DocsPage(DocsBase):
    """Given to Ninja as `docs`: it serves the page at `docs_url`."""

    def render_page(self, request: HttpRequest, api: object, **parameters: object) -> HttpResponse:
        context = {"api": api, "sections": _sections(api), "codes": _codes()}
        return render(request, "api/docs.html", context)
