"""API tokens of people and programs. Only hashes are kept (apps.fleet.tokens)."""

from ninja import Router, Status

from apps.api.access.auth import OWN_TOKENS
from apps.api.description.openapi import refuses
from apps.api.requests.fields import Name
from apps.api.requests.lookups import checked_name
from apps.api.requests.pagination import CursorText, Limit, Page, paginate
from apps.api.requests.principal import ApiRequest
from apps.api.schemas.credentials import NewTokenOut, TokenIn, TokenOut, token_fields, token_out
from apps.fleet import tokens
from apps.fleet.exceptions import NotFound
from apps.fleet.models import ApiToken
from apps.fleet.models.credentials import ApiTokenQuerySet

router = Router()


def _theirs(request: ApiRequest) -> ApiTokenQuerySet:
    """The tokens that the sender may see and revoke."""
    who = request.auth
    found = ApiToken.objects.with_status()
    owner = who.owner.pk if who.owner is not None else None
    return found.of(owner, who.role) if who.role is not None else found.none()


@router.get("/tokens", response=Page[TokenOut], auth=OWN_TOKENS, summary="List API tokens by name")
def list_tokens(request: ApiRequest, limit: Limit = 50, cursor: CursorText = None) -> Page[TokenOut]:
    """Your own; as an operator, also those without an owner; as an administrator, all.

    Includes revoked and expired ones, so that a name in the audit can be explained.
    """
    return paginate(_theirs(request), order=("name",), limit=limit, cursor=cursor, render=token_out)


@router.post(
    "/tokens",
    response={201: NewTokenOut},
    auth=OWN_TOKENS,
    summary="Create an API token",
    openapi_extra=refuses("invalid_name", "name_taken"),
)
def create_token(request: ApiRequest, payload: TokenIn) -> Status[NewTokenOut]:
    """Only this answer has the token. It belongs to you, or to the owner of the token that you send."""
    token, text = tokens.create_api_token(
        name=checked_name(payload.name),
        role=payload.role,
        days=payload.expires_days,
        actor=request.auth.actor,
        owner=request.auth.owner,
        made_with=request.auth.token,
    )
    return Status(201, NewTokenOut.model_validate({**token_fields(token), "token": text}))


@router.delete("/tokens/{name}", response=TokenOut, auth=OWN_TOKENS, summary="Revoke an API token")
def revoke_token(request: ApiRequest, name: Name) -> TokenOut:
    """It is invalid at once, and stays in the list. One that you may not see isn't found."""
    token = _theirs(request).filter(name=name).first()
    if token is None:
        raise NotFound("There is no such API token.")
    tokens.revoke_api_token(token=token, actor=request.auth.actor)
    return token_out(_theirs(request).get(pk=token.pk))
