"""Known vulnerabilities in installed packages. apps.vulnerabilities decides what concerns which endpoint."""

from typing import Annotated

from ninja import Query, Router

from apps.api.access.auth import VIEWER
from apps.api.description.openapi import refuses
from apps.api.requests.fields import NameFilter
from apps.api.requests.lookups import endpoint_named, pool_named
from apps.api.requests.pagination import CursorText, Limit, Page, paginate
from apps.api.requests.principal import ApiRequest
from apps.api.schemas.filters import PoolFilter
from apps.api.schemas.vulnerabilities import (
    AffectedEndpointOut,
    SeverityWord,
    VulnerabilitiesOut,
    affected_endpoint_out,
    vulnerabilities_out,
)
from apps.fleet.package_questions import UNASSIGNED
from apps.vulnerabilities import selection, tracker_list
from apps.vulnerabilities.selection import Selection
from apps.vulnerabilities.severity import WORDS, Severity

router = Router()
AtLeast = Annotated[SeverityWord | None, Query(None, description="Advisories of this severity or a worse one.")]
InPool = Annotated[PoolFilter | None, Query(None, description="`-` for those that are in no pool.")]


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
    pool: InPool = None,
    endpoint: Annotated[NameFilter | None, Query(None, description="Only this one.")] = None,
) -> VulnerabilitiesOut:
    """The age of the tracker's list, the endpoints by their worst severity, and each advisory that concerns any.

    `severity` narrows `items`, and not the numbers of endpoints.
    """
    return vulnerabilities_out(_selection(severity, pool, endpoint))


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
    pool: InPool = None,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> Page[AffectedEndpointOut]:
    """By name. Endpoints that aren't compared with the list yet are not among them."""
    rows = selection.affected_endpoints(_selection(severity, pool, None))
    return paginate(rows, order=("name",), limit=limit, cursor=cursor, render=affected_endpoint_out)


def _selection(severity: str | None, pool: str | None, endpoint: str | None) -> Selection:
    """Raises FeatureDisabled; NotFound, PoolRenamed: a misspelled name must not look unaffected."""
    tracker_list.check_enabled()
    if pool is not None and pool != UNASSIGNED:
        pool_named(pool)
    if endpoint is not None:
        endpoint_named(endpoint)
    return Selection(pool=pool, endpoint=endpoint, severity=WORDS[severity] if severity else Severity.UNKNOWN)
