"""Known vulnerabilities in installed packages. apps.vulnerabilities decides what concerns which endpoint."""

from typing import Annotated

from ninja import Query, Router

from apps.api.access.auth import VIEWER
from apps.api.description.openapi import refuses
from apps.api.requests.fields import NameFilter
from apps.api.requests.pagination import CursorText, Limit, Page, paginate
from apps.api.requests.principal import ApiRequest
from apps.api.requests.vulnerability_selection import selection_of
from apps.api.schemas.filters import PoolFilter
from apps.api.schemas.vulnerabilities import (
    AffectedEndpointOut,
    Level,
    SeverityWord,
    VulnerabilitiesOut,
    affected_endpoint_out,
    vulnerabilities_out,
)
from apps.vulnerabilities import selection

router = Router()
AtLeast = Annotated[SeverityWord | None, Query(None, description="Advisories of this severity or a worse one.")]
WorstIs = Annotated[Level | None, Query(None, description="Of endpoints whose worst one is exactly this.")]
InPool = Annotated[PoolFilter | None, Query(None, description="`-` for those that are in no pool.")]
OfEndpoint = Annotated[NameFilter | None, Query(None, description="Only this one.")]


@router.get(
    "/vulnerabilities",
    response=VulnerabilitiesOut,
    auth=VIEWER,
    summary="Which known vulnerabilities concern installed packages",
    openapi_extra=refuses("feature_disabled", "not_found"),
)
def list_vulnerabilities(
    request: ApiRequest,
    severity: AtLeast = None,
    worst: WorstIs = None,
    pool: InPool = None,
    endpoint: OfEndpoint = None,
) -> VulnerabilitiesOut:
    """The age of the tracker's list, the endpoints by their worst severity, and each advisory that concerns any.

    `severity` and `worst` narrow `items`, and not the numbers of endpoints.
    """
    return vulnerabilities_out(selection_of(severity=severity, worst=worst, pool=pool, endpoint=endpoint))


@router.get(
    "/vulnerabilities/endpoints",
    response=Page[AffectedEndpointOut],
    auth=VIEWER,
    summary="List the endpoints that known vulnerabilities concern",
    openapi_extra=refuses("feature_disabled", "not_found"),
)
def list_vulnerable_endpoints(
    request: ApiRequest,
    severity: AtLeast = None,
    worst: WorstIs = None,
    pool: InPool = None,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> Page[AffectedEndpointOut]:
    """By name. `worst` also lists those that no advisory concerns (`none`) and of which nothing is known."""
    rows = selection.listed_endpoints(selection_of(severity=severity, worst=worst, pool=pool))
    return paginate(rows, order=("name",), limit=limit, cursor=cursor, render=affected_endpoint_out)
