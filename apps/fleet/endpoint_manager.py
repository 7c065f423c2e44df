"""Endpoints: enrolment, tokens, assignment, reports. It must not know HTTP or how operations run."""

import re
from datetime import timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Now

from . import (
    audit,
    clock,
    endpoint_tokens,
    limits,
    reporting_endpoint,
    repositories,
    row_locks,
    states,
    text_input,
    tokens,
)
from .alpm import canonical
from .alpm import repository as repository_text
from .alpm import state as state_text
from .checkin import CheckIn, check_in
from .endpoint_tokens import revoke_token, rotate_token
from .exceptions import (
    Conflict,
    DigestMismatch,
    EnrolmentCodeInvalid,
    Invalid,
    InvalidRepository,
    InvalidState,
    NameTaken,
    NotFound,
    OperationActive,
)
from .models import Endpoint, EndpointState, EnrolmentCode, Operation, Pool, RepositoryContent, State
from .reports import ReportedRepository
from .restored_database import SeenRevision

__all__ = [
    "CheckIn",
    "ReportedRepository",
    "SeenRevision",
    "assign",
    "authenticate",
    "change_rights",
    "check_in",
    "create_enrolment_code",
    "delete_endpoint",
    "delete_enrolment_code",
    "enroll",
    "probe",
    "revoke_token",
    "rotate_token",
    "store_repository",
    "store_state",
]

_LONGEST_VALIDITY = timedelta(hours=limits.ENROLMENT_HOURS)
_INVALID_CODE = "The enrolment code is unknown, expired or used up."
_ARCH = re.compile(r"(?!any\Z)[a-z0-9_]{1,32}\Z")


def create_enrolment_code(
    *,
    actor: str,
    pool: Pool | None = None,
    valid_for: timedelta = timedelta(hours=24),
    uses: int = 1,
    may_set_targets: bool = False,
) -> tuple[EnrolmentCode, str]:
    """Make a code; the text (`psc_…`) is returned once and not stored. Raises Invalid, NotFound (the pool).

    `may_set_targets`: the machines that enrol with it may make their own packages the target of their pool.
    """
    if not 1 <= uses <= limits.ENROLMENT_USES:
        raise Invalid(f"A code has 1 to {limits.ENROLMENT_USES} uses.", field="uses")
    if not timedelta(0) < valid_for <= _LONGEST_VALIDITY:
        raise Invalid("A code is valid for up to a year.", field="valid_for")
    text, code_hash = tokens.new(tokens.ENROLMENT)
    with transaction.atomic():
        if pool is not None:
            (pool,) = row_locks.lock_pools(pool)
        code = EnrolmentCode.objects.create(
            code_hash=code_hash,
            pool=pool,
            expires=clock.moved(valid_for),
            uses=uses,
            may_set_targets=may_set_targets,
            author=actor[:200],
        )
        after = {"pool": pool and pool.name, "uses": uses, "seconds": valid_for.total_seconds()}
        after["may_set_targets"] = may_set_targets
        audit.record(actor=actor, verb="create", object=audit.name_of(code), after=after)
    code.refresh_from_db()
    return code, text


def delete_enrolment_code(*, code: EnrolmentCode, actor: str) -> None:
    """Delete the code: no machine enrols with it any more, and those that have stay. A repeat changes nothing."""
    with transaction.atomic():
        name = audit.name_of(code)
        deleted, _ = EnrolmentCode.objects.filter(pk=code.pk).delete()
        if deleted:
            audit.record(actor=actor, verb="delete", object=name, before={"uses": code.uses, "used": code.used})


def enroll(*, code: str, name: str, arch: str) -> tuple[Endpoint, str]:
    """Use the code up by one and make the endpoint; returns it and its token (`pse_…`).

    With a code of `endpoint_tokens.allow_reenrolment` it is the endpoint that there is already. Raises
    EnrolmentCodeInvalid, InvalidName, Invalid (arch), NameTaken, CodeForAnotherName; the code is used up only on
    success. With REQUIRE_APPROVAL a new endpoint waits for an operator.
    """
    text_input.name(name)
    if not isinstance(arch, str) or not _ARCH.match(arch):
        raise Invalid("arch must be the machine's own architecture, like x86_64.", field="arch")
    if again := endpoint_tokens.reenroll(code=code, name=name, arch=arch):
        return again
    text, token_hash = tokens.new(tokens.ENDPOINT)
    try:
        with transaction.atomic():
            used = _use(code)
            endpoint = Endpoint.objects.create(
                name=name,
                arch=arch,
                pool=used.pool,
                token_hash=token_hash,
                may_set_targets=used.may_set_targets,
                awaits_approval=settings.REQUIRE_APPROVAL,
            )
            after = {
                "pool": used.pool and used.pool.name,
                "arch": arch,
                "code": used.pk,
                "may_set_targets": used.may_set_targets,
            }
            audit.record(actor=audit.name_of(used), verb="enroll", object=audit.name_of(endpoint), after=after)
    except IntegrityError:
        raise NameTaken(f"There is an endpoint with the name {name} already.") from None
    return Endpoint.objects.with_target().get(pk=endpoint.pk), text


def _use(code: str) -> EnrolmentCode:
    """Count one use of the code, if it has one left. The guarded UPDATE makes racing enrolments wait for each other.

    The pool's row is locked before the code's, as everywhere: deleting the pool takes both in that order.
    """
    valid = EnrolmentCode.objects.filter(code_hash=tokens.hash_of(code), expires__gt=Now(), used__lt=F("uses"))
    found = valid.select_related("pool").first()
    try:
        if found and found.pool:
            row_locks.lock_pools(found.pool)
    except NotFound:
        found = None
    if found is None or not valid.update(used=F("used") + 1):
        raise EnrolmentCodeInvalid(_INVALID_CODE)
    return found


def authenticate(*, token: str) -> Endpoint | None:
    """The endpoint of this token, with pool and target; None when it is unknown or revoked. One indexed read.

    A token that is used for the first time after its agent prepared it replaces the one before, with a few more.
    """
    if not token.startswith(tokens.ENDPOINT):
        return None
    token_hash = tokens.hash_of(token)
    found = reporting_endpoint.of_token(token_hash)
    if found is None and endpoint_tokens.accept_prepared(token_hash=token_hash):
        return reporting_endpoint.of_token(token_hash)
    return found


def change_rights(*, endpoint: Endpoint, may_set_targets: bool, actor: str) -> Endpoint:
    """Give the endpoint the right to set its own pool's target, from itself, or take it. Raises NotFound, Conflict.

    Conflict: its token is revoked, and an endpoint without a token can't use a right. A repeat changes nothing.
    """
    with transaction.atomic():
        locked = row_locks.lock_endpoint(endpoint)
        if may_set_targets and locked.token_hash is None:
            raise Conflict(f"The token of {locked.name} is revoked; give it a new one first.")
        if locked.may_set_targets != may_set_targets:
            Endpoint.objects.filter(pk=locked.pk).update(may_set_targets=may_set_targets)
            before, after = {"may_set_targets": locked.may_set_targets}, {"may_set_targets": may_set_targets}
            audit.record(actor=actor, verb="change_rights", object=audit.name_of(locked), before=before, after=after)
        return row_locks.lock_endpoint(locked)


def assign(*, endpoint: Endpoint, pool: Pool | None, actor: str) -> Endpoint:
    """Put the endpoint in a pool, or in none. Raises OperationActive while an operation is under way, NotFound."""
    with transaction.atomic():
        if pool is not None:
            (pool,) = row_locks.lock_pools(pool)
        locked = row_locks.lock_endpoint(endpoint)
        if locked.pool_id == (pool.pk if pool else None):
            return locked
        if Operation.objects.active().filter(endpoint=locked).exists():
            raise OperationActive(f"An operation of {locked.name} is under way; cancel it or wait for its end.")
        before = {"pool": locked.pool.name if locked.pool else None}
        Endpoint.objects.filter(pk=locked.pk).update(pool=pool, pool_changed=pool is not None)
        after = {"pool": pool.name if pool else None}
        audit.record(actor=actor, verb="assign", object=audit.name_of(locked), before=before, after=after)
        return row_locks.lock_endpoint(locked)


def delete_endpoint(*, endpoint: Endpoint, actor: str) -> None:
    """Forget the endpoint with its history and operations. Raises OperationActive while one is leased or applying."""
    with transaction.atomic():
        locked = row_locks.lock_endpoint(endpoint)
        if Operation.objects.claimed().filter(endpoint=locked).exists():
            raise OperationActive(f"{locked.name} is carrying out an operation.")
        before = {"pool": locked.pool.name if locked.pool else None, "arch": locked.arch, "state": locked.state_id}
        audit.record(actor=actor, verb="delete", object=audit.name_of(locked), before=before)
        locked.delete()


def store_state(*, digest: str, text: bytes) -> tuple[State, bool]:
    """Keep an uploaded state text; (state, True if it was new). Raises DigestMismatch, InvalidState, StateTooLarge."""
    states.check_size(canonical.line_count(text))
    _check_digest(digest, text)
    known = State.objects.filter(pk=digest).first()
    if known:
        return known, False
    try:
        packages = state_text.parse(text)
    except ValueError as error:
        raise InvalidState(str(error)) from None
    return states.save_as(digest, packages)


def store_repository(*, digest: str, text: bytes) -> tuple[RepositoryContent, bool]:
    """Keep an uploaded repository text; (content, True if new). Raises DigestMismatch, InvalidRepository,
    RepositoryTooLarge."""
    repositories.check_size(canonical.line_count(text))
    _check_digest(digest, text)
    known = RepositoryContent.objects.filter(pk=digest).first()
    if known:
        return known, False
    try:
        packages = repository_text.parse(text)
    except ValueError as error:
        raise InvalidRepository(str(error)) from None
    return repositories.save(digest, text, len(packages))


def _check_digest(digest: str, text: bytes) -> None:
    if canonical.digest_of(text) != digest:
        raise DigestMismatch("The text is not the one that the digest names.")


def probe() -> None:
    """Prove that this part of the fleet can work: bounded reads of its tables. Raises DatabaseError, or FleetError."""
    Endpoint.objects.order_by("pk").values_list("pk", "state", "report_seq", "last_seen", "foreign").first()
    EndpointState.objects.order_by("pk").values_list("pk", "cause").first()
    EnrolmentCode.objects.order_by("pk").values_list("pk", "used").first()
    State.objects.order_by("pk").values_list("pk", "package_count").first()
