"""The agent's own resource: enrol, check in, ask how the server sees this machine."""

from typing import Any

from django.conf import settings
from ninja import Router, Status

from apps.api.access.auth import ENDPOINT, UNAPPROVED_ENDPOINT, endpoint_of
from apps.api.description.openapi import refuses
from apps.api.requests.principal import ApiRequest
from apps.api.routes.agent.answers import check_in_out, me_out
from apps.api.schemas.agent import (
    CheckInIn,
    CheckInOut,
    EnrollIn,
    EnrollOut,
    ExaminationIn,
    MeOut,
    NextTokenIn,
    NextTokenOut,
    ProtectedIn,
    SigningIn,
)
from apps.fleet import endpoint_manager, endpoint_tokens
from apps.fleet.endpoint_manager import ReportedRepository, SeenRevision
from apps.fleet.examination import ExaminationProblem
from apps.fleet.protection import ProtectedPackages

router = Router()


@router.post(
    "/enroll",
    response={201: EnrollOut},
    auth=None,
    summary="Enrol this machine",
    openapi_extra=refuses("enrolment_code_invalid", "invalid_name", "name_taken", "code_for_another_name"),
)
def enroll(request: ApiRequest, payload: EnrollIn) -> Status[EnrollOut]:
    """Takes one use of an enrolment code. A name that exists is refused, never taken over.

    With the code of an endpoint's `reenrolment-code` it is that endpoint again, with all that belongs to it.
    """
    endpoint, token = endpoint_manager.enroll(code=payload.code, name=payload.name, arch=payload.arch)
    pool = endpoint.pool.name if endpoint.pool else None
    poll = settings.POLL_SECONDS
    waits = endpoint.awaits_approval
    answer = EnrollOut(
        id=endpoint.pk, name=endpoint.name, token=token, pool=pool, poll_seconds=poll, awaits_approval=waits
    )
    return Status(201, answer)


@router.post(
    "/checkin",
    response=CheckInOut,
    auth=UNAPPROVED_ENDPOINT,
    summary="Report what this machine is like",
    openapi_extra=refuses("conflict"),
)
def check_in(request: ApiRequest, payload: CheckInIn) -> CheckInOut:
    """While anything is wanted, nothing is recorded: upload it, and check in again with the same `seq`."""
    seen = payload.revision_seen
    done = endpoint_manager.check_in(
        endpoint=endpoint_of(request),
        seq=payload.seq,
        state=payload.state,
        repositories=[
            ReportedRepository(name=one.name, digest=one.digest, mirrors=tuple(one.mirrors))
            for one in payload.repositories
        ],
        holds=payload.holds,
        replaced=payload.replaced,
        agent_version=payload.agent_version,
        examination=_problems(payload.examination),
        protected=_protected(payload.protected),
        signing=_signing(payload.signing),
        revision_seen=SeenRevision(number=seen.number, digest=seen.digest) if seen else None,
        previous_seq=payload.previous_seq,
    )
    return check_in_out(done)


def _problems(examination: ExaminationIn | None) -> list[ExaminationProblem] | None:
    if examination is None:
        return None
    return [ExaminationProblem(code=one.code, text=one.text, names=one.names) for one in examination.problems]


def _signing(said: SigningIn | None) -> dict[str, Any] | None:
    if said is None:
        return None
    pool = str(said.pool) if said.pool else None
    return {"keys": said.keys, "pool": pool, "accepted": said.accepted, "problem": said.problem}


def _protected(said: list[ProtectedIn] | None) -> list[ProtectedPackages] | None:
    if said is None:
        return None
    return [
        ProtectedPackages(role=one.role, why=one.why, names=one.names, needs=one.needs, instead=one.instead)
        for one in said
    ]


@router.put(
    "/me/token",
    response=NextTokenOut,
    auth=ENDPOINT,
    summary="Say which token this machine uses next",
    openapi_extra=refuses("conflict", "token_shared"),
)
def prepare_token(request: ApiRequest, payload: NextTokenIn) -> NextTokenOut:
    """The first request with the new token makes it the endpoint's token. Until then the current one stays valid."""
    endpoint = endpoint_of(request)
    endpoint_tokens.prepare_token(endpoint=endpoint, token_hash=payload.token_hash)
    return NextTokenOut(name=endpoint.name)


@router.get("/me", response=MeOut, auth=UNAPPROVED_ENDPOINT, summary="This endpoint as the server sees it")
def me(request: ApiRequest) -> MeOut:
    """The status is derived from the last report; `difference` counts what a sync would do now."""
    return me_out(endpoint_of(request))
