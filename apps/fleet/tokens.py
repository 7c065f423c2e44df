"""Secrets of endpoints, people and programs: made here, kept only as hashes. It must not know HTTP.

A token has 256 random bits, which nobody can guess, so a plain SHA-256 is enough.
"""

import hashlib
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import BooleanField, ExpressionWrapper, Q
from django.db.models.functions import Now

from apps.lifecycle.ages import moment_text
from apps.lifecycle.work import deferred_writes

from . import audit, clock, limits, roles, text_input
from .exceptions import Invalid, NameTaken, TokenExpired
from .models import ApiToken, Role
from .models.credentials import TokenStatus
from .models.roles import allows

ENDPOINT, API, ENROLMENT = "pse_", "pst_", "psc_"
_USED_RESOLUTION = timedelta(minutes=1)
USES = "api_token_uses"
DEFAULT_DAYS = 90


def new(prefix: str) -> tuple[str, str]:
    """A new secret text with this prefix, and its hash, which is all that is kept."""
    text = prefix + secrets.token_urlsafe(32)
    return text, hash_of(text)


def hash_of(text: str) -> str:
    """What is stored of a secret: its SHA-256 in lower-case hex."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def create_api_token(
    *,
    name: str,
    role: str,
    actor: str,
    owner: User | None = None,
    days: int | None = DEFAULT_DAYS,
    made_with: ApiToken | None = None,
) -> tuple[ApiToken, str]:
    """Make an API token; its text (`pst_…`) is returned once and not stored. Raises Invalid, NameTaken.

    It expires after `days`; None: never. Without an owner it is bound to no account. `made_with` is the token that asks
    for it, from `authenticate_api_token`: the new one may do no more, and expires no later.
    """
    text_input.line(name, field="name", maximum=limits.API_TOKEN_NAME_LENGTH)
    if role not in Role.values:
        raise Invalid(f"role must be one of {', '.join(Role.values)}.", field="role")
    _check_role(Role(role), owner, made_with)
    expires = _expiry(days, made_with)
    text, token_hash = new(API)
    values = {
        "role": role,
        "owner": owner and owner.get_username(),
        "expires": expires and expires.isoformat(timespec="seconds"),
    }
    try:
        with transaction.atomic():
            made = ApiToken.objects.create(name=name, role=role, token_hash=token_hash, owner=owner, expires=expires)
            audit.record(actor=actor, verb="create", object=f"token:{name}", after=values)
    except IntegrityError:
        raise NameTaken(f"There is a token with the name {name} already.") from None
    return ApiToken.objects.with_status().get(pk=made.pk), text


def _check_role(role: Role, owner: User | None, made_with: ApiToken | None) -> None:
    """Raises Invalid if the owner, or the token that asks for it, may do less than this role."""
    if owner is not None and not allows(held := roles.role_of(owner), role):
        name = owner.get_username()
        if not owner.is_active:
            raise Invalid(f"The account {name} is deactivated, so it can't own a token.", field="owner")
        raise Invalid(
            f"{name} has {f'the role {held.value}' if held else 'no role'}, and a token may do no more than its owner. "
            f"Choose a lower role, or let an administrator give {name} the role {role.value} first.",
            field="role",
        )
    if made_with is not None and not allows(made_with.role_now, role):
        raise Invalid(f"A token can't make one that may do more than itself: {made_with.role_now}.", field="role")


def _expiry(days: int | None, made_with: ApiToken | None) -> datetime | None:
    if days is not None and not 1 <= days <= limits.API_TOKEN_DAYS:
        raise Invalid(f"A token expires after 1 to {limits.API_TOKEN_DAYS} days, or never.", field="expires_days")
    wanted = clock.now() + timedelta(days=days) if days is not None else None
    latest = made_with.expires if made_with is not None else None
    return min(filter(None, (wanted, latest)), default=None)


def authenticate_api_token(*, token: str) -> ApiToken | None:
    """The API token with this text, `with_status`; None when unknown or revoked, or its owner's account is inactive.

    One query. Raises TokenExpired. That it was used is noted once a minute and written some seconds later
    (`write_uses`): a reader must not depend on a database that takes writes.
    """
    if not token.startswith(API):
        return None
    stale = Q(last_used=None) | Q(last_used__lt=clock.moved(-_USED_RESOLUTION))
    valid = ApiToken.objects.with_status().filter(token_hash=hash_of(token))
    found = valid.annotate(stale=ExpressionWrapper(stale, BooleanField())).first()
    if found is None or found.status in (TokenStatus.REVOKED, TokenStatus.OWNER_INACTIVE):
        return None
    if found.status == TokenStatus.EXPIRED:
        raise TokenExpired(
            f"The API token {found.name} expired at {moment_text(found.expires)}. Make a new one: on the page /tokens, "
            "or with manage.py create_api_token."
        )
    if found.stale:  # type: ignore[attr-defined]  # asked in the same query
        deferred_writes.defer(USES, found.pk)
    return found


def write_uses(keys: Collection[int]) -> None:
    """Write that these tokens were used just now, unless another instance has done so within the minute."""
    stale = Q(last_used=None) | Q(last_used__lt=clock.moved(-_USED_RESOLUTION))
    ApiToken.objects.filter(stale, pk__in=keys).update(last_used=Now())


def revoke_api_token(*, token: ApiToken, actor: str) -> None:
    """Make the token invalid, for good. A repeat changes nothing."""
    with transaction.atomic():
        if ApiToken.objects.filter(pk=token.pk, revoked=None).update(revoked=Now()):
            audit.record(actor=actor, verb="revoke", object=f"token:{token.name}")
    token.refresh_from_db(fields=["revoked"])


def record_deletion(sender: Any, instance: ApiToken, **signal: object) -> None:
    """A receiver of `pre_delete`: a token is deleted only with its owner's account, and the audit says so."""
    values = {"role": instance.role, "owner": instance.owner and instance.owner.get_username()}
    audit.record(actor=audit.SERVER, verb="delete", object=f"token:{instance.name}", before=values)
