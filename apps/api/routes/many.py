"""One action for many endpoints: moved, synced, forgotten, their operations cancelled. apps.fleet.many does it."""

from ninja import Router

from apps.api.auth import OPERATOR, ApiRequest
from apps.api.lookups import pool_named
from apps.api.openapi import refuses
from apps.api.problems import FieldError, Refused
from apps.api.schemas.many import ManyIn, ManyOut, many_out
from apps.fleet import many
from apps.fleet.many import Action

router = Router()


@router.post(
    "/endpoint-actions",
    response=ManyOut,
    auth=OPERATOR,
    summary="Do one thing with many endpoints",
    openapi_extra=refuses("not_found"),
)
def act_on_many(request: ApiRequest, payload: ManyIn) -> ManyOut:
    """What can't be done with an endpoint is said of it, and doesn't stop the others.

    `move` and `forget` do all that can be done in one transaction. `dry_run` says the same and does nothing.
    """
    if len(set(payload.endpoints)) < len(payload.endpoints):
        _refuse("endpoints", "An endpoint is named twice.")
    if payload.pool is not None and payload.action != Action.MOVE:
        _refuse("pool", "It goes with the action move only.")
    pool = pool_named(payload.pool) if payload.pool is not None else None
    if payload.dry_run:
        return many_out(payload, many.foretell(payload.action, payload.endpoints, pool=pool))
    return many_out(payload, many.carry_out(payload.action, payload.endpoints, actor=request.auth.actor, pool=pool))


def _refuse(field: str, message: str) -> None:
    raise Refused("invalid_request", errors=[FieldError(loc=["body", field], message=message)])
