"""The difference of any two sets of packages. What a sync of an endpoint would do is in endpoints.py."""

from typing import Annotated

from django.http import HttpResponse
from ninja import Query, Router

from apps.api.auth import VIEWER, ApiRequest
from apps.api.openapi import COMPARES, refuses
from apps.api.references import packages_of
from apps.api.schemas.endpoints import DiffOut
from apps.api.schemas.views import diff_out

router = Router(by_alias=True)
REFERENCE = "`endpoint:NAME` (what it reported last), `revision:POOL/NUMBER`, or `state:DIGEST`."


@router.get(
    "/diff",
    response=DiffOut,
    auth=VIEWER,
    summary="Compare any two sets of packages",
    openapi_extra=refuses("not_found", "state_unknown", *COMPARES),
)
def diff(
    request: ApiRequest,
    origin: Annotated[str, Query(..., alias="from", max_length=1000, description=REFERENCE)],
    goal: Annotated[str, Query(..., alias="to", max_length=1000, description=REFERENCE)],
) -> HttpResponse:
    """Exactly as they are: nothing is left out as held, foreign or excluded."""
    return diff_out(packages_of("from", origin), packages_of("to", goal))
