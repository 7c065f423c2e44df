"""One action for many endpoints: move, sync or forget them, or cancel their operations (apps.fleet.bulk_actions)."""

from ninja import Router

from apps.api.access.auth import OPERATOR
from apps.api.description.openapi import refuses
from apps.api.requests.lookups import pool_named
from apps.api.requests.principal import ApiRequest
from apps.api.requests.problems import FieldError, RequestRefused
from apps.api.schemas.endpoint_actions import ManyIn, ManyOut, many_out
from apps.fleet import bulk_actions
from apps.fleet.bulk_actions import Action

router = Router()


@router.post(
    "/endpoint-actions",
    response=ManyOut,
    auth=OPERATOR,
    summary="Do one thing with many endpoints",
    openapi_extra=refuses("not_found"),
)
def act_on_many(request: ApiRequest, payload: ManyIn) -> ManyOut:
    """If it can't be done for an endpoint, the answer says why, and the others continue.

    `move` and `forget` do everything that can be done in one transaction. `dry_run` answers the same and does nothing.
    """
    if len(set(payload.endpoints)) < len(payload.endpoints):
        _refuse("endpoints", "An endpoint is named twice.")
    if payload.pool is not None and payload.action != Action.MOVE:
        _refuse("pool", "It goes with the action move only.")
    pool = pool_named(payload.pool) if payload.pool is not None else None
    if payload.dry_run:
        return many_out(payload, bulk_actions.preview(payload.action, payload.endpoints, pool=pool))
    return many_out(
        payload, bulk_actions.carry_out(payload.action, payload.endpoints, actor=request.auth.actor, pool=pool)
    )


def _refuse(field: str, message: str) -> None:
    raise RequestRefused("invalid_request", errors=[FieldError(loc=["body", field], message=message)])
