"""Enrolment codes: how a new machine gets its token."""

from datetime import timedelta

from ninja import Router, Status

from apps.api.access.auth import OPERATOR
from apps.api.requests.fields import PathNumber
from apps.api.requests.lookups import pool_named
from apps.api.requests.pagination import CursorText, Limit, Page, paginate
from apps.api.requests.principal import ApiRequest
from apps.api.schemas.credentials import (
    EnrolmentCodeIn,
    EnrolmentCodeOut,
    NewEnrolmentCodeOut,
    enrolment_code_fields,
    enrolment_code_out,
)
from apps.fleet import endpoint_manager, enrolment
from apps.fleet.exceptions import NotFound
from apps.fleet.models import EnrolmentCode

router = Router()


@router.get("/enrolment-codes", response=Page[EnrolmentCodeOut], auth=OPERATOR, summary="List enrolment codes")
def list_enrolment_codes(request: ApiRequest, limit: Limit = 50, cursor: CursorText = None) -> Page[EnrolmentCodeOut]:
    """Newest first."""
    rows = EnrolmentCode.objects.select_related("pool")
    return paginate(rows, order=("-id",), limit=limit, cursor=cursor, render=enrolment_code_out)


@router.post(
    "/enrolment-codes",
    response={201: NewEnrolmentCodeOut},
    auth=OPERATOR,
    summary="Create an enrolment code",
    openapi_extra={"x-codes": ["not_found"]},
)
def create_enrolment_code(request: ApiRequest, payload: EnrolmentCodeIn) -> Status[NewEnrolmentCodeOut]:
    """Only this answer has the code, and the line that enrols a machine with it."""
    code, text = endpoint_manager.create_enrolment_code(
        actor=request.auth.actor,
        pool=pool_named(payload.pool) if payload.pool is not None else None,
        valid_for=timedelta(hours=payload.valid_hours),
        uses=payload.uses,
        may_set_targets=payload.may_set_targets,
    )
    line = enrolment.command(request.build_absolute_uri("/").rstrip("/"), text)
    return Status(201, NewEnrolmentCodeOut.model_validate({**enrolment_code_fields(code), "code": text, "line": line}))


@router.delete("/enrolment-codes/{code_id}", response={204: None}, auth=OPERATOR, summary="Delete an enrolment code")
def delete_enrolment_code(request: ApiRequest, code_id: PathNumber) -> Status[None]:
    """No further machine can enrol with it; those that have enrolled stay."""
    code = EnrolmentCode.objects.filter(id=code_id).first()
    if code is None:
        raise NotFound("There is no such enrolment code.")
    endpoint_manager.delete_enrolment_code(code=code, actor=request.auth.actor)
    return Status(204, None)
