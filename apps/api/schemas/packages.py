"""Questions about a package, and the packages of an endpoint, in the API."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from apps.api.requests.fields import MAX_INTEGER
from apps.api.schemas.operations import PackageOut
from apps.fleet.models import Endpoint
from apps.fleet.package_list import Listed
from apps.fleet.package_questions import FleetVersions

# A name that can't be a package's isn't found; this pattern is for readers of the OpenAPI document.
PackageName = Annotated[
    str, Field(max_length=1000, json_schema_extra={"pattern": r"^[A-Za-z0-9@_+][A-Za-z0-9@._+-]*$", "maxLength": 255})
]
VersionFilter = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")]
Number = Annotated[int, Field(ge=0, le=MAX_INTEGER)]


class VersionShareOut(BaseModel):
    """One version of the package in the fleet."""

    version: str
    endpoints: Number = Field(description="How many endpoints have it.")
    pools: dict[str, Number] = Field(description="How many of each pool that has any.")
    unassigned: Number = Field(description="How many of them are in no pool.")


class InFleetOut(BaseModel):
    """A package in the fleet: which version each endpoint last reported."""

    name: str
    versions: list[VersionShareOut] = Field(description="Newest first, in pacman's order.")
    endpoints: Number = Field(description="How many endpoints have the package.")
    missing: Number = Field(description="How many have reported without it.")
    unreported: Number = Field(description="How many have never reported, and are not included here.")


class HavingOut(BaseModel):
    """One endpoint, with the version that it has."""

    name: str
    pool: str | None
    version: str | None = Field(description="null with `missing=true`.")


def in_fleet_out(found: FleetVersions) -> InFleetOut:
    return InFleetOut.model_validate(found, from_attributes=True)


Reason = Literal["explicit", "dependency"]
PartOfName = Annotated[str, Field(max_length=255, pattern=r"^[^\x00-\x20\x7f]*$")]
RepositoryFilter = Annotated[str, Field(max_length=255, pattern=r"^[^\x00-\x20/\x7f]+$")]


class InstalledOut(PackageOut):
    """One package on an endpoint."""

    repository: str | None = Field(
        description="The first of the endpoint's repositories that has a package of this name; null if none has."
    )
    foreign: bool = Field(description="In none of its repositories nor of its target's, and no operation brought it.")
    held: bool = Field(description="The machine itself holds it (IgnorePkg, IgnoreGroup).")


class EndpointPackagesOut(BaseModel):
    """What is installed on an endpoint, as last reported."""

    name: str
    state: str
    package_count: int = Field(description="How many there are without the filters.")
    packages: list[InstalledOut]


def endpoint_packages_out(endpoint: Endpoint, listed: list[Listed], total: int) -> EndpointPackagesOut:
    """`listed` of its `total` packages. The endpoint must have reported."""
    return EndpointPackagesOut(
        name=endpoint.name,
        state=str(endpoint.state_id),
        package_count=total,
        packages=[
            InstalledOut(**one.package._asdict(), repository=one.repository, foreign=one.foreign, held=one.held)
            for one in listed
        ],
    )
