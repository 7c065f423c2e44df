"""Signed target revisions: the text to sign, and the signature that an operator made of it elsewhere.

The server knows no keys and verifies nothing: each machine that trusts keys does. What is checked here only keeps
people from uploading what no machine would accept. It must not know HTTP.
"""

import zlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from django.db import transaction

from . import (
    audit,
    clock,
    limits,
    paused_automatic_sync,
    revisions,
    row_locks,
    states,
    target_files,
    targets,
    time_limit,
)
from .alpm import openpgp, revision_document
from .alpm.revision_document import RevisionDocument, SignedPackage
from .exceptions import Conflict, Invalid
from .models import Endpoint, Pool, RevisionSignature, TargetRevision
from .patterns import Matcher

LIMIT = revision_document.LIMIT + 4 * openpgp.LIMIT  # bytes of a text with its signature, as they are uploaded
_ARMOR = b"-----BEGIN PGP SIGNATURE-----"
MOST_AHEAD = timedelta(days=1)  # the signer's clock before ours
# The refusals of a machine that a new signature may end.
REFUSALS = {"revision_unsigned", "revision_signature_invalid", "revision_expired", "revision_differs"}


def identity_of(pool: Pool) -> UUID:
    """The pool's identity; one that the release before made gets it now."""
    if pool.identity is None:
        Pool.objects.filter(pk=pool.pk, identity__isnull=True).update(identity=uuid4())
        pool.refresh_from_db(fields=["identity"])
    if pool.identity is None:  # deleted meanwhile
        raise Conflict(f"The pool {pool.name} was deleted.")
    return pool.identity


def document(*, pool: Pool, number: int, days: int = limits.SIGNATURE_DAYS_DEFAULT) -> bytes:
    """The text to sign, good for `days` days from now. Raises NotFound, Invalid, StateTooLarge, ComparisonTooLong."""
    if not 1 <= days <= limits.SIGNATURE_DAYS:
        raise Invalid(f"The days must be a whole number from 1 to {limits.SIGNATURE_DAYS}.", field="days")
    created = clock.now().replace(microsecond=0)
    revision = targets.revision_of(pool, number)
    return _text(pool, revision, created=created, expires=created + timedelta(days=days), removed=_removed(revision))


def _text(
    pool: Pool, revision: TargetRevision, *, created: datetime, expires: datetime, removed: Iterable[str]
) -> bytes:
    files = target_files.load(revision)
    packages = []
    for package in states.load(revision.state):
        file = files.get(package.name)
        same = file is not None and file.package == package[:3]
        packages.append(SignedPackage(package, file if same else None))
    made = RevisionDocument(
        pool=str(identity_of(pool)),
        pool_name=pool.name,
        number=revision.number,
        created=int(created.timestamp()),
        expires=int(expires.timestamp()),
        packages=tuple(packages),
        excluded=tuple(pool.excluded_packages),
        left=tuple((one["name"], one["why"]) for one in revision.unmanaged or ()),
        removed=tuple(sorted(removed)),
    )
    try:
        return revision_document.to_text(made)
    except ValueError as error:  # it has what an agent couldn't read back
        raise Conflict(f"Target #{revision.number} of {pool.name} can't be signed: {error}.") from None


def _removed(revision: TargetRevision) -> set[str]:
    """The names that a sync to this revision removes from machines of its pool, as they are now.

    A machine removes a package that is in none of its own repositories only if it is named there.
    """
    pool = revision.pool
    managed = {package.name for package in states.load(revision.state)}
    offered, excluded = revisions.offered_by(revision), Matcher(pool.excluded_packages)
    left = revisions.unmanaged_names(revision)
    found: set[str] = set()
    rows = list(Endpoint.objects.filter(pool=pool, state__isnull=False).values_list("state", "foreign"))
    names = _names_in({digest for digest, _ in rows})
    for digest, foreign in rows:
        time_limit.check()
        found |= names[digest] - managed - left - {name for name in foreign if name not in offered}
    return {name for name in found if not excluded.matches(name)}


def _names_in(digests: set[str]) -> dict[str, frozenset[str]]:
    """The names in each of these states. A few queries, however many states there are. Raises ComparisonTooLong."""
    packed = states.packed(digests)
    known = states.load_values(set().union(*packed.values()))
    return {digest: frozenset(known[value].name for value in values) for digest, values in packed.items()}


def separated(content: bytes) -> tuple[bytes, bytes]:
    """The text, and the armored signature that follows it. Raises Invalid."""
    text, begin, rest = content.partition(_ARMOR)
    if not begin:
        raise Invalid("There is no armored signature after the text (`gpg --armor --detach-sign`).", field="signature")
    return text, begin + rest


def sign(*, pool: Pool, number: int, document: bytes, signature: bytes, actor: str) -> RevisionSignature:
    """Keep the text and its signature for the machines; an earlier signature of the revision is replaced.

    `signature` is binary or armored. Automatic sync that rests on a machine that missed it goes on. Raises NotFound,
    Invalid (`document`, `signature`: no shape of one, or it has expired), Conflict (the text is of another pool or
    revision, or isn't what the server would give now).
    """
    packet = _signature(signature)
    said = _document(document)
    with transaction.atomic():
        (pool,) = row_locks.lock_pools(pool)
        revision = targets.revision_of(pool, number)
        signed, expires = _time(said.created), _time(said.expires)
        _check(pool, revision, said, document)
        made, _ = RevisionSignature.objects.update_or_create(
            revision=revision,
            defaults={
                "document": zlib.compress(document),
                "signature": packet,
                "issuer": openpgp.issuer(packet)[:64],
                "signed": signed,
                "author": actor[:200],
                "created": clock.now(),
            },
        )
        TargetRevision.objects.filter(pk=revision.pk).update(signed_until=expires)
        after = {"number": number, "issuer": made.issuer, "until": expires.isoformat()}
        audit.record(actor=actor, verb="sign_target", object=audit.name_of(pool), after=after)
    _resume(pool)
    return made


def _signature(data: bytes) -> bytes:
    try:
        return openpgp.signature(data)
    except ValueError as error:
        raise Invalid(f"This is not one detached OpenPGP signature: {error}.", field="signature") from None


def _document(text: bytes) -> RevisionDocument:
    try:
        return revision_document.parse(text)
    except ValueError as error:
        raise Invalid(f"This is not the text of a revision: {error}.", field="document") from None


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _check(pool: Pool, revision: TargetRevision, said: RevisionDocument, text: bytes) -> None:
    """Raise Invalid, Conflict unless machines would take this text for this revision."""
    now = clock.now()
    created, expires = _time(said.created), _time(said.expires)
    if expires <= now:
        raise Invalid(f"The text expired {said_time(said.expires)}. Download and sign a new one.", field="document")
    if created > now + MOST_AHEAD:
        raise Invalid(f"The text was made {said_time(said.created)}, which is in the future.", field="document")
    if (said.pool, said.number) != (str(identity_of(pool)), revision.number):
        raise Conflict(f"The text is of target #{said.number} of pool {said.pool_name}, and not of this one.")
    if _text(pool, revision, created=created, expires=expires, removed=said.removed) != text:
        raise Conflict(
            f"The text isn't what target #{revision.number} of {pool.name} says now: the pool's name or its excluded "
            "packages have changed since. Download and sign a new one."
        )
    known = RevisionSignature.objects.filter(revision=revision, signed__gt=created).first()
    if known:
        raise Conflict(f"A newer text of target #{revision.number} is signed already. Download and sign a new one.")


def said_time(seconds: int) -> str:
    return revision_document.time_text(seconds)


def _resume(pool: Pool) -> None:
    """Let automatic sync go on where machines refused for want of a signature."""
    keys = set(Endpoint.objects.filter(pool=pool, signing__isnull=False).values_list("pk", flat=True))
    resting = paused_automatic_sync.of() if keys else {}  # of all: a statement takes only so many keys
    missed = [key for key, one in resting.items() if key in keys and one.code in REFUSALS]
    for chunk in states.chunks(missed, 2):
        Endpoint.objects.filter(pk__in=chunk).update(sync_resumed=clock.now())


def remove(*, pool: Pool, number: int, actor: str) -> bool:
    """Take the signature away: machines that trust keys don't follow the revision any more, unless they have begun.

    False when there was none. Raises NotFound.
    """
    with transaction.atomic():
        (pool,) = row_locks.lock_pools(pool)
        revision = targets.revision_of(pool, number)
        gone, _ = RevisionSignature.objects.filter(revision=revision).delete()
        TargetRevision.objects.filter(pk=revision.pk).update(signed_until=None)
        if gone:
            audit.record(actor=actor, verb="unsign_target", object=audit.name_of(pool), before={"number": number})
    return bool(gone)


def of(revision: TargetRevision) -> RevisionSignature | None:
    """The signature of a revision; None while it isn't signed."""
    return RevisionSignature.objects.filter(revision=revision).first()


def text_of(signed: RevisionSignature) -> bytes:
    """The signed text."""
    return zlib.decompress(bytes(signed.document))
