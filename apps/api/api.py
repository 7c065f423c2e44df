"""The API /api/v1 as one object. A new resource is one module in routes/ and one line here.

It must not know what a route does.
"""

from functools import cached_property
from typing import Any

from django.conf import settings
from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema
from ninja.operation import Operation

from apps.api import errors
from apps.api.body import StrictParser
from apps.api.docs_page import DocsPage
from apps.api.guard import guarded
from apps.api.openapi import complete
from apps.api.routes import (
    agent,
    audit,
    checksums,
    contents,
    diff,
    endpoints,
    enrolment_codes,
    exports,
    fleet,
    many,
    operations,
    packages,
    pool_work,
    pools,
    previews,
    targets,
    tokens,
)

DESCRIPTION = """PacSync keeps a fleet of Arch Linux machines on the same package versions."""


class PacSyncAPI(NinjaAPI):
    """Ninja's API with our operation ids, and an OpenAPI document that has every problem in it."""

    def get_openapi_operation_id(self, operation: Operation) -> str:
        return operation.view_func.__name__

    def get_openapi_schema(self, **options: Any) -> OpenAPISchema:
        return self._document

    @cached_property
    def _document(self) -> OpenAPISchema:
        """Made once: the routes don't change while the process lives."""
        document = super().get_openapi_schema()
        complete(document)
        return document


def make_api() -> PacSyncAPI:
    api = PacSyncAPI(
        title="PacSync",
        version=settings.VERSION,
        description=DESCRIPTION,
        urls_namespace="api",
        parser=StrictParser(),
        docs=DocsPage(),
    )
    errors.install(api)
    api.add_decorator(guarded, mode="view")
    api.add_router("", agent.router, tags=["agents"])
    api.add_router("", contents.router, tags=["states"])
    api.add_router("", operations.router, tags=["operations"])
    api.add_router("", fleet.router, tags=["fleet"])
    api.add_router("", pools.router, tags=["pools"])
    api.add_router("", pool_work.router, tags=["pools"])
    api.add_router("", previews.router, tags=["pools"])
    api.add_router("", targets.router, tags=["targets"])
    api.add_router("", checksums.router, tags=["targets"])
    api.add_router("", endpoints.router, tags=["endpoints"])
    api.add_router("", many.router, tags=["endpoints"])
    api.add_router("", diff.router, tags=["states"])
    api.add_router("", packages.router, tags=["packages"])
    api.add_router("", enrolment_codes.router, tags=["access"])
    api.add_router("", tokens.router, tags=["access"])
    api.add_router("", audit.router, tags=["audit"])
    api.add_router("", exports.router, tags=["exports"])
    return api


api = make_api()
