"""Enrolment codes and API tokens in the API. Only the answer to its creation has the secret itself."""

from typing import Literal

from pydantic import BaseModel, Field

from apps.api.requests.fields import Body, Name, NewName, Role, Time
from apps.fleet import limits, tokens
from apps.fleet.models import ApiToken, EnrolmentCode


class EnrolmentCodeIn(Body):
    pool: Name | None = Field(None, description="Machines that enrol with the code are put in this pool.")
    uses: int = Field(1, ge=1, le=limits.ENROLMENT_USES, description="How many machines may enrol with it.")
    valid_hours: int = Field(24, ge=1, le=limits.ENROLMENT_HOURS)
    may_set_targets: bool = Field(
        False, description="Machines that enrol with it may make their own packages the target of their pool."
    )


class EnrolmentCodeOut(BaseModel):
    id: int
    pool: str | None
    uses: int
    used: int
    may_set_targets: bool
    expires: Time
    author: str
    created: Time


class NewEnrolmentCodeOut(EnrolmentCodeOut):
    """The only answer that holds the code."""

    code: str
    line: str = Field(
        description="The shell line that enrols a machine and keeps its agent running, with the address that this "
        "request went to: a machine has to reach the server there."
    )


def enrolment_code_fields(code: EnrolmentCode) -> dict[str, object]:
    return {
        "id": code.pk,
        "pool": code.pool.name if code.pool else None,
        "uses": code.uses,
        "used": code.used,
        "may_set_targets": code.may_set_targets,
        "expires": code.expires,
        "author": code.author,
        "created": code.created,
    }


def enrolment_code_out(code: EnrolmentCode) -> EnrolmentCodeOut:
    return EnrolmentCodeOut.model_validate(enrolment_code_fields(code))


class TokenIn(Body):
    name: NewName = Field(description="What the audit calls it.")
    role: Role = Field(description="No more than the role of whoever makes it.")
    expires_days: int | None = Field(
        tokens.DEFAULT_DAYS,
        ge=1,
        le=limits.API_TOKEN_DAYS,
        description="null: never. A token that was made with another one expires no later than that one.",
    )


class TokenOut(BaseModel):
    name: str
    role: Role
    owner: str | None = Field(description="The account that it belongs to; null: none.")
    role_now: Role | None = Field(description="What it may do now: no more than its owner. null: nothing.")
    status: Literal["active", "expires_soon", "expired", "owner_inactive", "revoked"] = Field(
        description="`expires_soon`: within 14 days. `owner_inactive`: the owner's account is deactivated. Only "
        "`active` and `expires_soon` are let in."
    )
    created: Time
    expires: Time | None = Field(description="null: never.")
    last_used: Time | None = Field(description="To the minute.")
    revoked: Time | None


class NewTokenOut(TokenOut):
    """The only answer that holds the token."""

    token: str


def token_fields(token: ApiToken) -> dict[str, object]:
    """Of a token `with_status`."""
    return {
        "name": token.name,
        "role": token.role,
        "owner": token.owner and token.owner.get_username(),
        "role_now": token.role_now,
        "status": token.status,
        "created": token.created,
        "expires": token.expires,
        "last_used": token.last_used,
        "revoked": token.revoked,
    }


def token_out(token: ApiToken) -> TokenOut:
    return TokenOut.model_validate(token_fields(token))
