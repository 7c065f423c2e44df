"""The API /api/v1 as one object. A new module of routes/ needs its import and its `add_router` here.

It must not know what a route does.
"""

from functools import cached_property
from typing import Any

from django.conf import settings
from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema
from ninja.operation import Operation

from apps.api.description.docs_view import DocsPage
from apps.api.description.openapi import complete
from apps.api.requests import errors
from apps.api.requests.body import StrictParser
from apps.api.requests.guard import guarded
from apps.api.routes import (
    audit,
    checksums,
    diff,
    endpoint_actions,
    endpoint_identity,
    endpoints,
    enrolment_codes,
    exports,
    fleet,
    operations,
    packages,
    tokens,
    vulnerabilities,
)
from apps.api.routes.agent import contents, own_endpoint
from apps.api.routes.pools import pools, previews, repository_analysis, signatures, sync, targets

DESCRIPTION = """PacSync keeps a fleet of Arch Linux machines on the same package versions."""


class PacSyncAPI(NinjaAPI):
    """Ninja's API with our operation ids, and an OpenAPI document that includes every problem."""

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
    api.add_router("", own_endpoint.router, tags=["agents"])
    api.add_router("", contents.router, tags=["states"])
    api.add_router("", operations.router, tags=["operations"])
    api.add_router("", fleet.router, tags=["fleet"])
    api.add_router("", pools.router, tags=["pools"])
    api.add_router("", sync.router, tags=["pools"])
    api.add_router("", repository_analysis.router, tags=["pools"])
    api.add_router("", previews.router, tags=["pools"])
    api.add_router("", targets.router, tags=["targets"])
    api.add_router("", signatures.router, tags=["targets"])
    api.add_router("", checksums.router, tags=["targets"])
    api.add_router("", endpoints.router, tags=["endpoints"])
    api.add_router("", endpoint_identity.router, tags=["endpoints"])
    api.add_router("", endpoint_actions.router, tags=["endpoints"])
    api.add_router("", diff.router, tags=["states"])
    api.add_router("", packages.router, tags=["packages"])
    api.add_router("", vulnerabilities.router, tags=["packages"])
    api.add_router("", enrolment_codes.router, tags=["access"])
    api.add_router("", tokens.router, tags=["access"])
    api.add_router("", audit.router, tags=["audit"])
    api.add_router("", exports.router, tags=["exports"])
    return api


api = make_api()
