"""The difference between any two sets of packages. endpoints.py has what a sync of an endpoint would do."""

from typing import Annotated

from django.http import HttpResponse
from ninja import Query, Router

from apps.api.access.auth import VIEWER
from apps.api.description.openapi import COMPARES, refuses
from apps.api.requests.principal import ApiRequest
from apps.api.requests.references import packages_of
from apps.api.schemas.differences import diff_out
from apps.api.schemas.endpoints import DiffOut

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
    """Compares them exactly as they are: nothing is left out as held, foreign or excluded."""
    return diff_out(packages_of("from", origin), packages_of("to", goal))
