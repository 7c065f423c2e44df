"""Which machine an endpoint is: approving a new one, giving one back to its machine, rotating its token."""

from datetime import timedelta

from ninja import Router, Status

from apps.api.access.auth import OPERATOR
from apps.api.description.openapi import refuses
from apps.api.requests.fields import Name, NoFields
from apps.api.requests.lookups import endpoint_named
from apps.api.requests.principal import ApiRequest
from apps.api.schemas.endpoint_detail import endpoint_detail
from apps.api.schemas.endpoints import EndpointDetail, ReenrolmentIn, ReenrolmentOut
from apps.fleet import approval, endpoint_tokens, enrolment

router = Router(by_alias=True)


@router.post("/endpoints/{name}/approval", response=EndpointDetail, auth=OPERATOR, summary="Approve a new endpoint")
def approve_endpoint(request: ApiRequest, name: Name, payload: NoFields | None = None) -> EndpointDetail:
    """It takes part from its next check-in. To refuse one, delete it. A repeat changes nothing."""
    approval.approve(endpoint=endpoint_named(name), actor=request.auth.actor)
    return endpoint_detail(endpoint_named(name))


@router.post(
    "/endpoints/{name}/reenrolment-code",
    response={201: ReenrolmentOut},
    auth=OPERATOR,
    summary="Make a code with which a machine enrols as this endpoint again",
)
def allow_reenrolment(request: ApiRequest, name: Name, payload: ReenrolmentIn | None = None) -> Status[ReenrolmentOut]:
    """The token is revoked at once; history, operations and pool stay. Only this answer has the code."""
    hours = (payload or ReenrolmentIn()).valid_hours
    code, text = endpoint_tokens.allow_reenrolment(
        endpoint=endpoint_named(name), actor=request.auth.actor, valid_for=timedelta(hours=hours)
    )
    line = enrolment.command(request.build_absolute_uri("/").rstrip("/"), text, again_as=name)
    return Status(201, ReenrolmentOut(name=name, code=text, expires=code.expires, line=line))


@router.delete(
    "/endpoints/{name}/reenrolment-code",
    response={204: None},
    auth=OPERATOR,
    summary="Withdraw the code to enrol again",
)
def withdraw_reenrolment(request: ApiRequest, name: Name) -> Status[None]:
    """The token stays revoked."""
    endpoint_tokens.withdraw_reenrolment(endpoint=endpoint_named(name), actor=request.auth.actor)
    return Status(204, None)


@router.post(
    "/endpoints/{name}/rotation",
    response=EndpointDetail,
    auth=OPERATOR,
    summary="Ask an endpoint's agent to rotate its token",
    openapi_extra=refuses("conflict", "token_shared"),
)
def request_rotation(request: ApiRequest, name: Name, payload: NoFields | None = None) -> EndpointDetail:
    """The agent makes a new token with its next check-in; the old one is valid until the new one is used."""
    endpoint_tokens.request_rotation(endpoint=endpoint_named(name), actor=request.auth.actor)
    return endpoint_detail(endpoint_named(name))
