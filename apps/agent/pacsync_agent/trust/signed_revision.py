"""Whether a trusted key signed exactly this revision: rule 3 of docs/agent.md, and what refuses all other revisions.

docs/security.md ("Signed revisions") has the reasons. It must not know servers, or what the machine has installed.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from apps.fleet.alpm import openpgp, revision_document
from apps.fleet.alpm.revision_document import RevisionDocument, time_text

from ..errors import Refused
from . import key_files
from .trusted_keys import Accepted, Record, TrustedKeys, record_unreadable

# Numbers of hash algorithms (RFC 9580, 9.5) that a signature may use: SHA2 and SHA3 from 256 bits.
_HASHES = {"8", "9", "10", "12", "14"}
_BINARY = "00"  # the class of a signature over the very bytes; 01 ignores how lines end
# gpg's status words for each signature (doc/DETAILS of GnuPG), of which exactly one comes.
_VERDICTS = {
    "GOODSIG": "",
    "EXPSIG": "the signature has expired",
    "EXPKEYSIG": "its key has expired",
    "REVKEYSIG": "its key was revoked",
    "BADSIG": "it belongs to other content",
    "ERRSIG": "it was made by a key that this machine doesn't trust, or can't be verified",
}
_AGAIN = 'Have the revision signed again (docs/agent.md, "Signed revisions").'


@dataclass(frozen=True)
class SignedRevision:
    """A revision that a trusted key signed. `signed_at`: when, in seconds by the signer's clock."""

    document: RevisionDocument
    digest: str
    signed_at: int


def accept(keys: TrustedKeys, given: object, *, fingerprints: list[str]) -> tuple[RevisionDocument, Record]:
    """The signed revision in a claim, if it counts here now; then it is remembered, durably, before anything is done.

    `given` is {"document": base64, "signature": base64}, or None; `fingerprints` are the trusted keys. Raises Refused
    (`revision_unsigned`, `revision_invalid`, `revision_signature_invalid`, `revision_of_another_pool`,
    `revision_expired`, `revision_replayed`), Local, OSError (it can't be remembered).
    """
    record = keys.record()
    if record is None:
        raise record_unreadable(keys.record_path)
    text, signature = _parts(given)
    document = _parsed(text)
    now = max(int(time.time()), record.clock, document.created)
    found = _verified(keys, fingerprints, document, text, signature, now)
    record = _later(keys, record, found.signed_at)
    _check_current(record, found, max(now, found.signed_at))
    accepted = Accepted(document.number, document.created, found.digest)
    names = {one.package.name for one in document.packages}
    new = dataclasses.replace(
        record, accepted={**record.accepted, document.pool: accepted}, managed=record.managed | names
    )
    if new != record:
        keys.write(new)
    return document, new


def _later(keys: TrustedKeys, record: Record, signed_at: int) -> Record:
    """Remember that it is later than that: even a revision that is refused proves it, because a trusted key signed."""
    if signed_at <= record.clock:
        return record
    new = dataclasses.replace(record, clock=signed_at)
    keys.write(new)
    return new


def _parts(given: object) -> tuple[bytes, bytes]:
    if given is None:
        raise Refused(
            "revision_unsigned",
            "The target isn't signed, and this machine follows only revisions that a key signed that it trusts.",
            'Have an operator sign it (docs/agent.md, "Signed revisions"), and sync again.',
        )
    if not isinstance(given, Mapping):
        raise _invalid("it is not an object")
    text, signature = given.get("document"), given.get("signature")
    if not isinstance(text, str) or not isinstance(signature, str):
        raise _invalid("it has no document or no signature")
    if len(text) > 2 * revision_document.LIMIT or len(signature) > 4 * openpgp.LIMIT:
        raise _invalid("it is too large")
    try:
        document, packet = (base64.b64decode(one, validate=True) for one in (text, signature))
    except ValueError:  # binascii.Error, or characters other than ASCII
        raise _invalid("it is not base64") from None
    try:
        return document, openpgp.signature(packet)
    except ValueError as error:
        raise _not_signed(str(error)) from None


def _parsed(text: bytes) -> RevisionDocument:
    try:
        return revision_document.parse(text)
    except (ValueError, OverflowError) as error:
        raise _invalid(str(error)) from None


def _verified(
    keys: TrustedKeys, fingerprints: list[str], document: RevisionDocument, text: bytes, signature: bytes, now: int
) -> SignedRevision:
    """Verify with gpg, as of `now`: a machine whose clock is behind doesn't take an expired key for a good one."""
    with key_files.home() as place:
        content, detached, keyring = place / "revision", place / "revision.sig", place / "trusted.pgp"
        content.write_bytes(text)
        detached.write_bytes(signature)
        try:
            keyring.write_bytes(b"".join(keys.public(one) for one in fingerprints))
        except OSError as error:
            raise Refused(
                "keyring_unreadable", f"The trusted keys can't be read: {error.strerror}.", "Look at the disk."
            ) from None
        arguments = ["--status-fd", "1", "--no-default-keyring", "--keyring", str(keyring)]
        arguments += ["--faked-system-time", f"{now}!", "--verify", "--", str(detached), str(content)]
        status, output = key_files.run(place, arguments)
    signed_at = _signed_at(status, output.decode(errors="replace"), fingerprints)
    return SignedRevision(document, hashlib.sha256(text).hexdigest(), signed_at)


def _signed_at(status: int, output: str, trusted: list[str]) -> int:
    """When the one good signature was made, by gpg's exit status and status lines. Raises Refused."""
    lines = [line.split(" ")[1:] for line in output.splitlines() if line.startswith("[GNUPG:] ")]
    words = [line for line in lines if line and line[0] in _VERDICTS]
    for word in words:
        if _VERDICTS[word[0]]:
            raise _not_signed(_VERDICTS[word[0]])
    valid = [line for line in lines if line and line[0] == "VALIDSIG"]
    if status != 0 or len(words) != 1 or len(valid) != 1 or len(valid[0]) < 11:
        raise _not_signed("gpg doesn't accept it")
    _, _, _, made, _, _, _, _, digest, kind, primary = valid[0][:11]
    if primary not in trusted:
        raise _not_signed("it was made by a key that this machine doesn't trust")
    if kind != _BINARY:
        raise _not_signed("it isn't over the very bytes of the document")
    if digest not in _HASHES:
        raise _not_signed("it uses a hash that is too weak")
    if not (made.isascii() and made.isdigit()):
        raise _not_signed("gpg doesn't say when it was made")
    return int(made)


def _check_current(record: Record, found: SignedRevision, now: int) -> None:
    """Raise Refused for another pool's, an expired, or an older revision than the last accepted one."""
    document = found.document
    if document.pool != record.pool:
        raise Refused(
            "revision_of_another_pool",
            f"The signed revision is one of pool {document.pool_name} ({document.pool}); this machine follows only "
            f"those of {record.pool}.",
            f"If the machine is to be in that pool: `pacsync-agent trust --pool {document.pool}`.",
        )
    if document.expires <= now:
        raise Refused(
            "revision_expired",
            f"The signature of revision {document.number} was good until {time_text(document.expires)}, and it is "
            f"{time_text(now)} or later.",
            f"{_AGAIN} If this machine's clock is wrong, set it.",
        )
    last = record.accepted.get(document.pool)
    if last is None or document.order > last.order or found.digest == last.digest:
        return
    same = document.number == last.number
    raise Refused(
        "revision_replayed",
        f"Revision {document.number} was signed {time_text(document.created)}; this machine has accepted "
        + (f"one that was signed {time_text(last.created)}." if same else f"revision {last.number} already."),
        "To go back, make the old revision the target again, and sign that: it gets a new number.",
    )


def checksums(document: RevisionDocument) -> dict[tuple[str, str, str], str]:
    """The SHA-256 of each (name, version, arch) that the revision names one for."""
    return {one.file.package: one.file.sha256 for one in document.packages if one.file is not None and one.file.sha256}


def _invalid(why: str) -> Refused:
    return Refused("revision_invalid", f"The signed revision makes no sense: {why}.", _AGAIN)


def _not_signed(why: str) -> Refused:
    return Refused(
        "revision_signature_invalid",
        f"The signature of the target doesn't count: {why}.",
        f"{_AGAIN} Or trust the key that signed it: `pacsync-agent trust FILE`.",
    )


def last_accepted(record: Optional[Record]) -> Optional[int]:
    """The number of the last accepted revision of the pool that counts."""
    accepted = record.accepted.get(record.pool) if record else None
    return accepted.number if accepted else None


def report(state_dir: Path) -> Optional[dict[str, Any]]:
    """{"keys", "pool", "accepted"} for the server and for `status`; None where no key is trusted. Raises AgentError."""
    keys = TrustedKeys(state_dir)
    fingerprints = keys.fingerprints()
    if not fingerprints:
        return None
    record = keys.record()
    return {"keys": fingerprints, "pool": record.pool if record else None, "accepted": last_accepted(record)}
