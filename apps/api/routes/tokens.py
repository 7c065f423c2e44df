"""API tokens of people and programs. Only hashes are kept (apps.fleet.tokens)."""

from ninja import Router, Status

from apps.api.access.auth import OPERATOR
from apps.api.description.openapi import refuses
from apps.api.requests.fields import Name
from apps.api.requests.lookups import checked_name
from apps.api.requests.pagination import CursorText, Limit, Page, paginate
from apps.api.requests.principal import ApiRequest
from apps.api.schemas.credentials import NewTokenOut, TokenIn, TokenOut, token_fields, token_out
from apps.fleet import tokens
from apps.fleet.exceptions import NotFound
from apps.fleet.models import ApiToken

router = Router()


@router.get("/tokens", response=Page[TokenOut], auth=OPERATOR, summary="List API tokens by name")
def list_tokens(request: ApiRequest, limit: Limit = 50, cursor: CursorText = None) -> Page[TokenOut]:
    """Includes revoked ones, so that a name in the audit can be explained."""
    return paginate(ApiToken.objects.all(), order=("name",), limit=limit, cursor=cursor, render=token_out)


@router.post(
    "/tokens",
    response={201: NewTokenOut},
    auth=OPERATOR,
    summary="Create an API token",
    openapi_extra=refuses("invalid_name", "name_taken"),
)
def create_token(request: ApiRequest, payload: TokenIn) -> Status[NewTokenOut]:
    """Only this answer has the token."""
    token, text = tokens.create_api_token(name=checked_name(payload.name), role=payload.role, actor=request.auth.actor)
    return Status(201, NewTokenOut.model_validate({**token_fields(token), "token": text}))


@router.delete("/tokens/{name}", response=TokenOut, auth=OPERATOR, summary="Revoke an API token")
def revoke_token(request: ApiRequest, name: Name) -> TokenOut:
    """It is invalid at once, and stays in the list."""
    token = ApiToken.objects.filter(name=name).first()
    if token is None:
        raise NotFound("There is no such API token.")
    tokens.revoke_api_token(token=token, actor=request.auth.actor)
    return token_out(token)
