"""The token of an endpoint after it enrolled: a new one, by whom, and what becomes of the old one.

Whoever has the token is the endpoint, so a new one also begins what belongs to its holder anew: the number of its
reports, and what was noticed about other holders. Its history, operations and pool stay. It must not know HTTP.
"""

import re
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from . import audit, clock, limits, obsolete_operations, row_locks, shared_tokens, tokens
from .exceptions import CodeForAnotherName, Conflict, EnrolmentCodeInvalid, Invalid
from .models import Endpoint, ReenrolmentCode

_LONGEST_VALIDITY = timedelta(hours=limits.ENROLMENT_HOURS)
_HASH = re.compile(r"[0-9a-f]{64}")
_ANEW: dict[str, Any] = {
    "report_seq": 0,
    "report_chains": None,
    "token_shared": None,
    "next_token_hash": None,
    "rotation_requested": None,
}


def rotate_token(*, endpoint: Endpoint, actor: str) -> str:
    """A new token for the endpoint; the old one, and one that its holder prepared, are invalid at once."""
    text, token_hash = tokens.new(tokens.ENDPOINT)
    with transaction.atomic():
        endpoint = row_locks.lock_endpoint(endpoint)
        ReenrolmentCode.objects.filter(endpoint=endpoint).delete()
        Endpoint.objects.filter(pk=endpoint.pk).update(token_hash=token_hash, revoked=None, **_ANEW)
        audit.record(actor=actor, verb="rotate_token", object=audit.name_of(endpoint))
    return text


def revoke_token(*, endpoint: Endpoint, actor: str) -> None:
    """Lock the endpoint out until it gets a new token; its right to set targets is gone for good.

    A code to enrol again goes, too. A repeat changes nothing.
    """
    with transaction.atomic():
        endpoint = row_locks.lock_endpoint(endpoint)
        ReenrolmentCode.objects.filter(endpoint=endpoint).delete()
        _revoke(endpoint, actor)


def _revoke(endpoint: Endpoint, actor: str) -> None:
    active = Endpoint.objects.filter(pk=endpoint.pk, token_hash__isnull=False)
    if active.update(
        token_hash=None, revoked=Now(), may_set_targets=False, next_token_hash=None, rotation_requested=None
    ):
        before = {"may_set_targets": endpoint.may_set_targets}
        audit.record(actor=actor, verb="revoke_token", object=audit.name_of(endpoint), before=before)
        obsolete_operations.cancel_of_revoked(endpoint)


# --- Enrolling again --------------------------------------------------------------------------------------------


def allow_reenrolment(
    *, endpoint: Endpoint, actor: str, valid_for: timedelta = timedelta(hours=24)
) -> tuple[ReenrolmentCode, str]:
    """Make the code with which one machine enrols once as this endpoint. The token is revoked at once.

    The text (`psc_…`) is returned once and not stored; a code that was made before is invalid.
    Raises Invalid, NotFound.
    """
    if not timedelta(0) < valid_for <= _LONGEST_VALIDITY:
        raise Invalid("A code is valid for up to a year.", field="valid_for")
    text, code_hash = tokens.new(tokens.ENROLMENT)
    with transaction.atomic():
        endpoint = row_locks.lock_endpoint(endpoint)
        _revoke(endpoint, actor)
        ReenrolmentCode.objects.filter(endpoint=endpoint).delete()
        ReenrolmentCode.objects.filter(expires__lt=Now()).delete()
        code = ReenrolmentCode.objects.create(
            endpoint=endpoint, code_hash=code_hash, expires=clock.moved(valid_for), author=actor[:200]
        )
        after = {"seconds": valid_for.total_seconds()}
        audit.record(actor=actor, verb="allow_reenrolment", object=audit.name_of(endpoint), after=after)
    code.refresh_from_db()
    return code, text


def reenrolment_until(endpoint: Endpoint) -> datetime | None:
    """Until when the endpoint's code is valid; None if it has none. One query."""
    valid = ReenrolmentCode.objects.filter(endpoint=endpoint, expires__gt=Now())
    return valid.values_list("expires", flat=True).first()


def withdraw_reenrolment(*, endpoint: Endpoint, actor: str) -> None:
    """Delete the endpoint's code; the token stays revoked. Without a code nothing changes."""
    with transaction.atomic():
        endpoint = row_locks.lock_endpoint(endpoint)
        if ReenrolmentCode.objects.filter(endpoint=endpoint).delete()[0]:
            audit.record(actor=actor, verb="withdraw_reenrolment", object=audit.name_of(endpoint))


def reenroll(*, code: str, name: str, arch: str) -> tuple[Endpoint, str] | None:
    """Give the endpoint of this code a new token; (endpoint, token), None if it is no such code.

    Raises EnrolmentCodeInvalid (expired), CodeForAnotherName. The code is used up only on success.
    """
    code_hash = tokens.hash_of(code)
    if not ReenrolmentCode.objects.filter(code_hash=code_hash, endpoint__isnull=False).exists():
        return None
    text, token_hash = tokens.new(tokens.ENDPOINT)
    with transaction.atomic():
        found = ReenrolmentCode.objects.select_related("endpoint").filter(code_hash=code_hash).first()
        if found is None:
            return None
        endpoint = row_locks.lock_endpoint(found.endpoint)
        valid = ReenrolmentCode.objects.filter(code_hash=code_hash, expires__gt=Now())
        if not valid.exists():  # expired, or used while this waited for the lock
            raise EnrolmentCodeInvalid("The enrolment code is unknown, expired or used up.")
        if endpoint.name != name:
            raise CodeForAnotherName(
                f"This code is for the endpoint {endpoint.name}, not for {name}. To enrol this machine as "
                f"{endpoint.name}, add --name {endpoint.name}."
            )
        valid.delete()
        fields = {"token_hash": token_hash, "revoked": None, "arch": arch}
        Endpoint.objects.filter(pk=endpoint.pk).update(**fields, **_ANEW)
        before, after = {"arch": endpoint.arch}, {"arch": arch, "code_of": found.author}
        audit.record(
            actor=f"endpoint:{name}", verb="reenroll", object=audit.name_of(endpoint), before=before, after=after
        )
    return Endpoint.objects.with_target().get(pk=endpoint.pk), text


# --- The agent rotates its own token ----------------------------------------------------------------------------


def request_rotation(*, endpoint: Endpoint, actor: str) -> None:
    """Ask the endpoint's agent to rotate its token, with the answer to its next check-in. A repeat changes nothing.

    Raises Conflict (the token is revoked), TokenShared.
    """
    with transaction.atomic():
        endpoint = row_locks.lock_endpoint(endpoint)
        _check_may_rotate(endpoint)
        if endpoint.rotation_requested is None:
            Endpoint.objects.filter(pk=endpoint.pk).update(rotation_requested=Now())
            audit.record(actor=actor, verb="request_rotation", object=audit.name_of(endpoint))


def prepare_token(*, endpoint: Endpoint, token_hash: str) -> None:
    """Note the hash of the token that the endpoint's agent will use next. The current token stays valid until then.

    The agent makes the token and keeps it on its disk first, so whenever it is interrupted it has one that is valid. A
    repeat changes nothing, another hash replaces the one before. Raises Invalid, Conflict, TokenShared.
    """
    if not _HASH.fullmatch(token_hash):
        raise Invalid("token_hash must be a SHA-256 in lower-case hex.", field="token_hash")
    taken = Conflict("This token can't be used: make another one.")
    try:
        with transaction.atomic():
            locked = row_locks.lock_endpoint(endpoint)
            _check_may_rotate(locked)
            if locked.token_hash != endpoint.token_hash or Endpoint.objects.filter(token_hash=token_hash).exists():
                raise taken
            Endpoint.objects.filter(pk=locked.pk).update(next_token_hash=token_hash)
    except IntegrityError:
        raise taken from None


def accept_prepared(*, token_hash: str) -> bool:
    """Make a prepared token the endpoint's token, because it was used; the one before is invalid from now on.

    Whether there was one. One query if there is none.
    """
    prepared = Endpoint.objects.filter(next_token_hash=token_hash, token_hash__isnull=False)
    if not prepared.exists():
        return False
    with transaction.atomic():
        endpoint = prepared.select_for_update().first()
        if endpoint is None:  # used by another request, or taken back, in between
            return Endpoint.objects.filter(token_hash=token_hash).exists()
        fields = {"token_hash": token_hash, "next_token_hash": None, "rotation_requested": None}
        Endpoint.objects.filter(pk=endpoint.pk).update(**fields)
        audit.record(actor=f"endpoint:{endpoint.name}", verb="rotate_token", object=audit.name_of(endpoint))
    return True


def _check_may_rotate(endpoint: Endpoint) -> None:
    if endpoint.token_hash is None:
        raise Conflict(f"The token of {endpoint.name} is revoked: it has to enrol again.")
    shared_tokens.check(endpoint)
