"""Known vulnerabilities in the API. apps.vulnerabilities decides what concerns which endpoint."""

from collections.abc import Sequence
from functools import cmp_to_key
from typing import Annotated, Literal

from django.utils import timezone
from pydantic import BaseModel, Field

from apps.api.requests.fields import MAX_INTEGER, Time
from apps.fleet.alpm.version import vercmp
from apps.fleet.models import Endpoint
from apps.vulnerabilities import findings, selection, tracker_links, tracker_list
from apps.vulnerabilities.findings import InFleet
from apps.vulnerabilities.models import StateVulnerabilities, TrackerList
from apps.vulnerabilities.selection import NOT_COMPARED, UNREPORTED, Selection
from apps.vulnerabilities.severity import WORST_FIRST, Severity

Number = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
SeverityWord = Literal["critical", "high", "medium", "low", "unknown"]
Level = Literal["critical", "high", "medium", "low", "unknown", "none", "not_compared", "unreported"]


class AdvisoryCountsOut(BaseModel):
    """Advisories by severity."""

    critical: Number
    high: Number
    medium: Number
    low: Number
    unknown: Number


class LevelsOut(AdvisoryCountsOut):
    """Endpoints by the worst severity of an advisory that concerns them."""

    none: Number = Field(description="Compared with the list, and no advisory concerns them.")
    not_compared: Number = Field(description="Not compared with this list yet, so nothing is known.")
    unreported: Number = Field(description="They have never reported.")


class ListFailureOut(BaseModel):
    """Why the last attempt gave no list."""

    code: str
    detail: str
    at: Time


class ListOut(BaseModel):
    """The list of the Arch security tracker that is used."""

    as_of: Time | None = Field(description="When the tracker last gave or confirmed it; null if there is none yet.")
    age_seconds: int | None
    advisories: Number
    source: str | None
    failure: ListFailureOut | None = Field(description="null if the last attempt succeeded.")


class ConcernedOut(BaseModel):
    """A package that the advisory concerns, in these versions."""

    name: str
    versions: list[str] = Field(description="Oldest first.")


class AdvisoryOut(BaseModel):
    """An advisory of the tracker that concerns an endpoint of the selection."""

    name: str
    severity: SeverityWord
    status: str
    type: str
    fixed: str | None = Field(description="The first version without it; null while there is none.")
    issues: list[str] = Field(description="CVEs.")
    url: str
    packages: list[ConcernedOut]
    endpoints: Number = Field(description="How many endpoints of the selection it concerns.")


class VulnerabilitiesOut(BaseModel):
    """What the list says about the selected endpoints."""

    list: ListOut
    endpoints: LevelsOut
    items: Sequence[AdvisoryOut] = Field(description="Worst first, then what most endpoints have.")


class AffectedEndpointOut(BaseModel):
    """An endpoint, and how many advisories concern it."""

    name: str
    pool: str | None
    severity: Level = Field(description="The worst one. `not_compared` and `unreported` mean that nothing is known.")
    advisories: AdvisoryCountsOut | None = Field(description="null if nothing is known.")


class EndpointVulnerabilitiesOut(BaseModel):
    """How badly an endpoint is affected, by the list as it was at `as_of`."""

    severity: Level = Field(description="The worst one. `not_compared` and `unreported` mean that nothing is known.")
    advisories: AdvisoryCountsOut | None
    as_of: Time | None


def vulnerabilities_out(chosen: Selection) -> VulnerabilitiesOut:
    found = selection.summary(chosen)
    return VulnerabilitiesOut(
        list=list_out(found.list),
        endpoints=LevelsOut(**found.endpoints),
        items=advisories_out(chosen),
    )


def list_out(known: TrackerList) -> ListOut:
    failing = known.is_failing and known.failed is not None
    return ListOut(
        as_of=known.as_of,
        age_seconds=max(0, int((timezone.now() - known.as_of).total_seconds())) if known.as_of else None,
        advisories=known.advisory_count,
        source=known.source or None,
        failure=ListFailureOut.model_validate({"code": known.failure_code, "detail": known.failure, "at": known.failed})
        if failing
        else None,
    )


def advisories_out(chosen: Selection) -> list[AdvisoryOut]:
    return [_advisory_out(one) for one in findings.in_fleet(chosen)]


def _advisory_out(one: InFleet) -> AdvisoryOut:
    advisory = one.advisory
    return AdvisoryOut.model_validate(
        {
            "name": advisory.name,
            "severity": Severity(advisory.severity).word,
            "status": advisory.status,
            "type": advisory.kind,
            "fixed": advisory.fixed,
            "issues": advisory.issues,
            "url": tracker_links.address(advisory.name),
            "packages": [
                {"name": name, "versions": sorted(sorted(found), key=cmp_to_key(vercmp))}
                for name, found in sorted(one.packages.items())
            ],
            "endpoints": one.endpoints,
        }
    )


def affected_endpoint_out(endpoint: Endpoint) -> AffectedEndpointOut:
    """`endpoint` comes from `selection.listed_endpoints`."""
    level = selection.level_of(endpoint)
    return AffectedEndpointOut.model_validate(
        {
            "name": endpoint.name,
            "pool": endpoint.pool.name if endpoint.pool else None,
            "severity": level,
            "advisories": None if level in (NOT_COMPARED, UNREPORTED) else _counts(endpoint),
        }
    )


def of_endpoint(endpoint: Endpoint) -> EndpointVulnerabilitiesOut | None:
    """None while the feature is off."""
    if not tracker_list.is_enabled():
        return None
    as_of, row = tracker_list.current().as_of, findings.of_state(endpoint.state_id)
    unknown = UNREPORTED if endpoint.state_id is None else NOT_COMPARED
    return EndpointVulnerabilitiesOut.model_validate(
        {
            "severity": unknown if row is None else Severity(row.worst).word,
            "advisories": None if row is None else _counts(row),
            "as_of": as_of,
        }
    )


def _counts(row: Endpoint | StateVulnerabilities) -> dict[str, int]:
    return {one.word: vars(row)[one.word] for one in WORST_FIRST}
