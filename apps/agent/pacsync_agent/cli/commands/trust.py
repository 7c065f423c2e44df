"""`trust`: the keys whose signed revisions this machine follows. It must not know how signatures are verified."""

from __future__ import annotations

import dataclasses
import re
import uuid
from collections.abc import Sequence
from pathlib import Path

from ... import settings
from ...context import only_agent
from ...errors import Exit, Local, Misused, Refused
from ...server.client import ApiError
from ...terminal.printable import printable
from ...transaction import preconditions
from ...trust import key_files, signed_revision
from ...trust.key_files import PublicKey
from ...trust.trusted_keys import FINGERPRINT, Record, TrustedKeys
from ..call import Call
from ..command import Command
from ..confirmation import add_yes, confirm
from ..parser import Parser

_NONE = "This machine trusts no key: it follows every target, signed or not."


def trust(call: Call) -> int:
    """Add or remove keys, forget what was accepted, or list all; the exit status. Raises AgentError, OSError."""
    preconditions.check_root()
    settings.make_state_dir(call.state_dir)
    keys, arguments = TrustedKeys(call.state_dir), call.arguments
    with only_agent(call.state_dir, wait=arguments.wait):
        if arguments.remove:
            return _remove(call, keys, arguments.remove)
        if arguments.forget:
            return _forget(call, keys)
        if arguments.key or arguments.pool:
            return _add(call, keys)
        return _list(call, keys)


def _add(call: Call, keys: TrustedKeys) -> int:
    known = {one: keys.public(one) for one in keys.fingerprints()}
    found = {one.fingerprint: one for text in call.arguments.key for one in _read(call, text, known)}
    if not found and not known:
        raise Misused("key_missing", "There is no key that this machine could trust.", "Name a file with one.")
    pool, name = _pool(call, keys)
    every = [*found.values(), *key_files.describe({key: one for key, one in known.items() if key not in found})]
    said = [f"This machine will follow only revisions of pool {name} that one of these keys signed:", *_lines(every)]
    confirm(call, "\n".join(said), "Trust them?" if len(every) > 1 else "Trust it?")
    keys.add({one.fingerprint: one.public for one in found.values()}, pool)
    return _list(call, keys)


def _read(call: Call, text: str, known: dict[str, bytes]) -> list[PublicKey]:
    """The keys in a file, or the one with this fingerprint in pacman's keyring. Raises Misused, Local, OSError."""
    fingerprint = re.sub(r"\s|^0x", "", text).upper()
    if FINGERPRINT.fullmatch(fingerprint) and not Path(text).exists():
        data, where = key_files.of_pacman(call.conf.gpgdir, fingerprint), "pacman's keyring"
    else:
        data, where = Path(text).read_bytes(), text
    found = key_files.read(data, known)
    if not found:
        raise Misused("key_invalid", f"There is no such OpenPGP key in {where}.", "Export it with `gpg --export KEY`.")
    bad = [one for one in found if one.problem and one.fingerprint not in known]
    if bad:  # a known one may be revoked: that is what has to be learnt
        raise Misused("key_invalid", f"Key {bad[0].fingerprint} is {bad[0].problem}.", "Trust one that can sign.")
    return found


def _pool(call: Call, keys: TrustedKeys) -> tuple[str, str]:
    """The identity of the pool whose revisions will count, and how to show it. Raises Misused, AgentError."""
    given = call.arguments.pool
    if given:
        try:
            identity = str(uuid.UUID(given))
        except ValueError:
            raise Misused(
                "pool_invalid", f"{given!r} is not the identity of a pool.", "The pool's page on the server has it."
            ) from None
        return identity, identity
    record = keys.record()
    if record:
        return record.pool, record.pool
    return _pool_of_server(call)


def _pool_of_server(call: Call) -> tuple[str, str]:
    context = call.context()
    try:
        answer = context.client.get("/me")
    except ApiError as error:
        raise error.as_agent_error(context.credentials.name) from None
    if not answer.get("pool_id"):
        raise Refused(
            "pool_unknown",
            "The server doesn't say which pool this machine is in.",
            "Assign it to one, or name the pool's identity with --pool.",
        )
    return answer["pool_id"], f"{answer['pool']} ({answer['pool_id']})"


def _remove(call: Call, keys: TrustedKeys, given: Sequence[str]) -> int:
    wanted = [re.sub(r"\s|^0x", "", text).upper() for text in given]
    known = keys.fingerprints()
    unknown = [one for one in wanted if one not in known]
    if unknown:
        raise Misused(
            "key_missing", f"This machine doesn't trust key {unknown[0]}.", "`pacsync-agent trust` lists them."
        )
    left = [one for one in known if one not in wanted]
    text = f"This machine will no longer trust {', '.join(wanted)}."
    confirm(call, text if left else f"{text} It will follow every target, signed or not.", "Remove it?")
    for fingerprint in wanted:
        keys.remove(fingerprint)
    return _list(call, keys)


def _forget(call: Call, keys: TrustedKeys) -> int:
    if not keys.fingerprints():
        raise Misused("key_missing", _NONE, "There is nothing to forget.")
    pool = _pool_to_keep(call, keys)
    text = "This machine will accept every revision of its pool that is signed and hasn't expired, old ones included."
    confirm(call, text, "Forget the last accepted revision?")
    keys.write(Record(pool))
    return _list(call, keys)


def _pool_to_keep(call: Call, keys: TrustedKeys) -> str:
    """The pool of the record; where that can't be read, the one of --pool or of the server."""
    try:
        return _pool(call, keys)[0]
    except Local as error:
        if error.code != "trust_record_unreadable":
            raise
    return _pool_of_server(call)[0]


def _list(call: Call, keys: TrustedKeys) -> int:
    fingerprints = keys.fingerprints()
    record = keys.record() if fingerprints else None
    described = key_files.describe({one: keys.public(one) for one in fingerprints})
    accepted = signed_revision.last_accepted(record)
    lines = [_NONE]
    if record:
        lines = [f"This machine follows only revisions of pool {record.pool} that one of these keys signed:"]
        lines += _lines(described)
        lines.append(f"Last accepted: {'none yet' if accepted is None else f'revision {accepted}'}.")
    call.output.result(
        "\n".join(lines),
        command="trust",
        keys=[{**dataclasses.asdict(one), "public": None} for one in described],
        pool=record.pool if record else None,
        accepted=accepted,
    )
    return Exit.OK


def _lines(keys: Sequence[PublicKey]) -> list[str]:
    lines = []
    for one in keys:
        users = ", ".join(printable(user, 200) for user in one.users)
        lines.append(f"  {one.fingerprint}  {users}{f' ({one.problem})' if one.problem else ''}".rstrip())
    return lines


def _add_arguments(parser: Parser) -> None:
    parser.add_argument(
        "key", nargs="*", metavar="FILE", help="a file of public keys, or the fingerprint of a key that pacman has"
    )
    parser.add_argument("--pool", metavar="ID", help="the identity of the pool to follow (default: the machine's pool)")
    parser.add_argument("--list", action="store_true", help="list the trusted keys; the default without a FILE")
    parser.add_argument("--remove", action="append", default=[], metavar="KEY", help="no longer trust this fingerprint")
    parser.add_argument("--forget", action="store_true", help="forget the last accepted revision, and accept old ones")
    add_yes(parser)


COMMAND = Command(
    name="trust",
    help="follow only target revisions that a key signed",
    examples=(
        "sudo pacsync-agent trust operator.asc",
        "sudo pacsync-agent trust --list",
        "sudo pacsync-agent trust --remove FINGERPRINT",
    ),
    run=trust,
    add_arguments=_add_arguments,
    note="Once the machine trusts a key, it refuses unsigned, expired and older revisions, and those of other pools.",
    waits=True,
)
