"""What is on an endpoint, and questions about one package in the whole fleet. apps.fleet decides what they mean."""

from typing import Annotated

from ninja import Query, Router

from apps.api.access.auth import VIEWER
from apps.api.description.openapi import COMPARES, refuses
from apps.api.requests.fields import Name
from apps.api.requests.lookups import endpoint_named
from apps.api.requests.pagination import CursorText, Limit, Page, page_of_names
from apps.api.requests.principal import ApiRequest
from apps.api.schemas.filters import PoolFilter
from apps.api.schemas.packages import (
    EndpointPackagesOut,
    HavingOut,
    InFleetOut,
    PackageName,
    PartOfName,
    Reason,
    RepositoryFilter,
    VersionFilter,
    endpoint_packages_out,
    in_fleet_out,
)
from apps.fleet import package_list, package_questions
from apps.fleet.package_list import PackageFilter
from apps.fleet.package_questions import EndpointVersion, Question

router = Router(by_alias=True)
Either = Annotated[bool | None, Query(None)]


@router.get(
    "/endpoints/{name}/packages",
    response=EndpointPackagesOut,
    auth=VIEWER,
    summary="What is on an endpoint",
    openapi_extra=refuses("state_unknown", *COMPARES),
)
def list_endpoint_packages(
    request: ApiRequest,
    name: Name,
    q: Annotated[PartOfName, Query("", description="Part of the package's name.")] = "",
    reason: Annotated[Reason | None, Query(None)] = None,
    foreign: Either = None,
    held: Either = None,
    repository: Annotated[RepositoryFilter | None, Query(None, description="`-`: in none.")] = None,
) -> EndpointPackagesOut:
    """As last reported. Each parameter narrows the list."""
    endpoint = endpoint_named(name)
    listed = package_list.of_endpoint(endpoint)
    wanted = PackageFilter(q=q, reason=reason, foreign=foreign, held=held, repository=repository)
    return endpoint_packages_out(endpoint, wanted.among(listed), len(listed))


@router.get(
    "/packages/{name}",
    response=InFleetOut,
    auth=VIEWER,
    summary="Which versions of a package are in the fleet",
    openapi_extra=refuses("comparison_too_long"),
)
def get_package(request: ApiRequest, name: PackageName) -> InFleetOut:
    """By pool, with counts. For a package that no endpoint has, there are no versions."""
    return in_fleet_out(package_questions.in_fleet(name))


@router.get(
    "/packages/{name}/endpoints",
    response=Page[HavingOut],
    auth=VIEWER,
    summary="Which endpoints have a package, in which version",
    openapi_extra=refuses("comparison_too_long"),
)
def list_package_endpoints(
    request: ApiRequest,
    name: PackageName,
    older_than: Annotated[VersionFilter | None, Query(None)] = None,
    newer_than: Annotated[VersionFilter | None, Query(None)] = None,
    version: Annotated[VersionFilter | None, Query(None)] = None,
    missing: Annotated[bool, Query(False, description="Those that have reported without it, instead.")] = False,
    pool: Annotated[PoolFilter | None, Query(None, description="`-` for those that are in no pool.")] = None,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> Page[HavingOut]:
    """By name. Versions are compared in pacman's order, epochs included; one without a pkgrel stands for all of them.

    `older_than` and `newer_than` together ask for what is between. `missing` works only with `pool`.
    """
    question = Question(older_than=older_than, newer_than=newer_than, version=version, missing=missing, pool=pool)
    question.check()
    found, following = page_of_names(
        lambda after: package_questions.endpoints(name, question, after=after), "packages", limit=limit, cursor=cursor
    )
    return Page(items=[_having_out(one) for one in found], next=following)


def _having_out(one: EndpointVersion) -> HavingOut:
    return HavingOut(name=one.name, pool=one.pool, version=one.version)
