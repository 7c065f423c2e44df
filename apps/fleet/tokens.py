"""Secrets of endpoints, people and programs: made here, kept only as hashes. It must not know HTTP.

A token has 256 random bits, which nobody can guess, so a plain SHA-256 is enough.
"""

import hashlib
import secrets
from collections.abc import Collection
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import BooleanField, ExpressionWrapper, Q
from django.db.models.functions import Now

from apps.lifecycle.work import deferred_writes

from . import audit, clock, limits, text_input
from .exceptions import Invalid, NameTaken
from .models import ApiToken
from .models.credentials import ApiTokenRole

ENDPOINT, API, ENROLMENT = "pse_", "pst_", "psc_"
_USED_RESOLUTION = timedelta(minutes=1)
USES = "api_token_uses"


def new(prefix: str) -> tuple[str, str]:
    """A new secret text with this prefix, and its hash, which is all that is kept."""
    text = prefix + secrets.token_urlsafe(32)
    return text, hash_of(text)


def hash_of(text: str) -> str:
    """What is stored of a secret: its SHA-256 in lower-case hex."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def create_api_token(*, name: str, role: str, actor: str, user: Any = None) -> tuple[ApiToken, str]:
    """Make an API token; its text (`pst_…`) is returned once and not stored. Raises Invalid, NameTaken."""
    text_input.line(name, field="name", maximum=limits.API_TOKEN_NAME_LENGTH)
    if role not in ApiTokenRole.values:
        raise Invalid(f"role must be one of {', '.join(ApiTokenRole.values)}.", field="role")
    text, token_hash = new(API)
    try:
        with transaction.atomic():
            token = ApiToken.objects.create(name=name, role=role, token_hash=token_hash, user=user)
            audit.record(actor=actor, verb="create", object=f"token:{name}", after={"role": role})
    except IntegrityError:
        raise NameTaken(f"There is a token with the name {name} already.") from None
    return token, text


def authenticate_api_token(*, token: str) -> ApiToken | None:
    """The API token with this text, with its user; None when unknown or revoked. One query.

    That it was used is noted once a minute and written some seconds later (`write_uses`): a reader must not
    depend on a database that takes writes.
    """
    if not token.startswith(API):
        return None
    valid = ApiToken.objects.filter(token_hash=hash_of(token), revoked=None)
    stale = Q(last_used=None) | Q(last_used__lt=clock.moved(-_USED_RESOLUTION))
    found = valid.select_related("user").annotate(stale=ExpressionWrapper(stale, BooleanField())).first()
    if found is None or (found.user is not None and not found.user.is_active):
        return None
    if found.stale:  # asked in the same query
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
