"""A stolen server against a machine that trusts a key: each attack is refused with its code, and nothing is accepted.

The signatures are made by the real gpg, and judged by the agent's own code; the machine has a real pacman database.
"""

import base64
import dataclasses
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from apps.agent.pacsync_agent.errors import AgentError, Local, Refused
from apps.agent.pacsync_agent.trust import key_files, signed_revision, trusted_keys
from apps.agent.pacsync_agent.trust.trusted_keys import Record, TrustedKeys
from apps.fleet.alpm import revision_document
from apps.fleet.alpm.revision_document import RevisionDocument
from tests.agent.signing import (
    BASE,
    DAY,
    EXTRA,
    GOAL,
    HELD,
    HERE,
    MINE,
    NEW_TOOL,
    OTHER_POOL,
    POOL,
    TOOL,
    TrustingMachine,
    World,
    claim,
    honest,
    installed,
    signed,
)
from tests.support.keys import SHORTLY_AFTER

pytestmark = pytest.mark.needs("gpg", "pacman")

Claim = dict[str, Any]
Attack = Callable[[World], Claim]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World.make(tmp_path_factory.mktemp("signed"))
    yield made
    made.operator.keys.stop()


@pytest.fixture
def machine(world: World, tmp_path: Path) -> TrustingMachine:
    return TrustingMachine(world, tmp_path)


def text_of(world: World, document: RevisionDocument | None = None) -> bytes:
    return revision_document.to_text(document or world.document())


def with_text(change: Callable[[bytes], bytes], *, signed_text: bool = True) -> Attack:
    """The text is changed, and signed after it (by a careless operator) or before."""

    def attack(world: World) -> Claim:
        text = text_of(world)
        changed = change(text)
        assert changed != text
        return claim(changed, world.operator.sign(changed if signed_text else text))

    return attack


def with_signature(change: Callable[[World, bytes], bytes]) -> Attack:
    def attack(world: World) -> Claim:
        text = text_of(world)
        return claim(text, change(world, text))

    return attack


def by(key: str, *, when: str = "", options: tuple[str, ...] = ()) -> Attack:
    """Signed by another key of the operator, or in another way."""
    return with_signature(
        lambda world, text: world.operator.sign(text, getattr(world.operator, key), when=when, options=options)
    )


def saying(**changes: Any) -> Attack:
    """Honestly signed, but for something else than what the claim does."""
    return lambda world: honest(world, **changes)


def of_document(**changes: Any) -> Attack:
    return lambda world: honest(world, world.document(**changes))


def in_the_past(world: World, **changes: Any) -> RevisionDocument:
    return world.document(created=world.now - 10 * DAY, expires=world.now - 9 * DAY, **changes)


def replaced(old: str, new: str) -> Callable[[bytes], bytes]:
    return lambda text: text.replace(old.encode(), new.encode(), 1)


def signed_field(**changes: Any) -> Attack:
    """What stands in the claim instead of the document or the signature."""

    def attack(world: World) -> Claim:
        made = honest(world)
        made["target"]["signed"].update(changes)
        return made

    return attack


def instead(value: object) -> Attack:
    def attack(world: World) -> Claim:
        made = honest(world)
        made["target"]["signed"] = value
        return made

    return attack


def inline(world: World, text: bytes) -> bytes:
    return world.operator.keys.gpg("--local-user", world.operator.good, "--output", "-", "--sign", data=text)


def clearsigned(world: World, text: bytes) -> bytes:
    return world.operator.keys.gpg("--local-user", world.operator.good, "--output", "-", "--clearsign", data=text)


def twice_with_two_values(world: World) -> Claim:
    """One JSON object with the same key twice: honest first, forged last, as a lax reader may mix them."""
    text = text_of(world)
    forged = text.replace(b"2-1", b"3-1")
    texts = [json.dumps(base64.b64encode(one).decode()) for one in (text, world.operator.sign(text), forged)]
    pair = '{"document": %s, "signature": %s, "document": %s}' % tuple(texts)  # noqa: UP031 - braces of JSON
    return honest(world) | {"target": honest(world)["target"] | {"signed": json.loads(pair)}}


UNSIGNED, INVALID, BAD = "revision_unsigned", "revision_invalid", "revision_signature_invalid"
EXPIRED, POOLS, DIFFERS = "revision_expired", "revision_of_another_pool", "revision_differs"
EVIL = installed("evil", "1-1")
OLD_BASE = installed("base", "0-1")

ATTACKS: dict[str, tuple[str, Attack]] = {
    # --- No signature, or the wrong one
    "no signed revision": (UNSIGNED, instead(None)),
    "a list instead": (INVALID, instead([])),
    "a text instead": (INVALID, instead("signed")),
    "true instead": (INVALID, instead(True)),
    "no signature in it": (INVALID, instead({"document": "x"})),
    "the signature is a number": (INVALID, signed_field(signature=7)),
    "the document is an object": (INVALID, signed_field(document={})),
    "an empty signature": (BAD, signed_field(signature="")),
    "not base64": (INVALID, signed_field(signature="%%%")),
    "a login page as the signature": (BAD, with_signature(lambda world, text: b"<html>Please log in</html>")),
    "over other bytes": (BAD, with_signature(lambda world, text: world.operator.sign(text + b"x"))),
    "by a key that isn't trusted": (BAD, by("other")),
    "by a key that has expired": (BAD, by("expired", when=SHORTLY_AFTER)),
    "a signature that has expired": (BAD, by("good", when=SHORTLY_AFTER, options=("--default-sig-expire", "30"))),
    "text mode, which ignores line ends": (BAD, by("good", options=("--textmode",))),
    "SHA-1": (BAD, by("good", options=("--digest-algo", "SHA1"))),
    "two good signatures": (BAD, with_signature(lambda world, text: 2 * world.operator.sign(text))),
    "a good one after a stranger's": (
        BAD,
        with_signature(lambda world, text: world.operator.sign(text, world.operator.other) + world.operator.sign(text)),
    ),
    "a good one before a stranger's": (
        BAD,
        with_signature(lambda world, text: world.operator.sign(text) + world.operator.sign(text, world.operator.other)),
    ),
    "data after the signature": (BAD, with_signature(lambda world, text: world.operator.sign(text) + b"\0")),
    "a signature cut off": (BAD, with_signature(lambda world, text: world.operator.sign(text)[:-3])),
    "an inline-signed message": (BAD, with_signature(inline)),
    "an inline-signed message of another text": (BAD, with_signature(lambda world, text: inline(world, b"hello"))),
    "a clearsigned message": (BAD, with_signature(clearsigned)),
    "a public key as the signature": (
        BAD,
        with_signature(lambda world, text: world.operator.keys.export(world.operator.good)),
    ),
    "a huge signature": (INVALID, signed_field(signature="A" * (4 << 20))),
    "a signature larger than any": (BAD, with_signature(lambda world, text: world.operator.sign(text) + b"\0" * 17000)),
    # --- A text that was changed after it was signed
    "expiry stripped": (INVALID, with_text(lambda text: b"\n".join(
        line for line in text.split(b"\n") if not line.startswith(b"expires")), signed_text=False)),
    "expiry moved": (BAD, with_text(replaced("expires 2", "expires 3"), signed_text=False)),
    "number raised": (BAD, with_text(replaced("number 7", "number 8"), signed_text=False)),
    "pool replaced": (BAD, with_text(replaced(POOL, OTHER_POOL), signed_text=False)),
    "a package removed": (BAD, with_text(lambda text: b"\n".join(
        line for line in text.split(b"\n") if not line.startswith(b"package tool")), signed_text=False)),
    "a package added": (BAD, with_text(replaced("end\n", f"{signed(installed('zzz', '1-1')).line()}\nend\n"),
                                       signed_text=False)),
    "a checksum changed": (BAD, with_text(replaced("a" * 64, "b" * 64), signed_text=False)),
    "an exclusion added": (BAD, with_text(replaced("leave", "exclude linux*\nleave"), signed_text=False)),
    "the document twice in the JSON": (BAD, twice_with_two_values),
    # --- A text that an operator signed without looking at it, or that a lax reader would take
    "expiry left out, and signed": (INVALID, with_text(lambda text: b"\n".join(
        line for line in text.split(b"\n") if not line.startswith(b"expires")))),
    "two numbers": (INVALID, with_text(replaced("number 7\n", "number 7\nnumber 8\n"))),
    "two expiries": (INVALID, with_text(lambda text: text.replace(b"end\n", b"expires 9999-01-01T00:00:00Z\nend\n"))),
    "number with a sign": (INVALID, with_text(replaced("number 7", "number +7"))),
    "number below zero": (INVALID, with_text(replaced("number 7", "number -7"))),
    "number zero": (INVALID, with_text(replaced("number 7", "number 0"))),
    "number with a leading zero": (INVALID, with_text(replaced("number 7", "number 07"))),
    "number with a fraction": (INVALID, with_text(replaced("number 7", "number 7.0"))),
    "number with an exponent": (INVALID, with_text(replaced("number 7", "number 7e9"))),
    "number in Arabic digits": (INVALID, with_text(replaced("number 7", "number \u0667"))),
    "number true": (INVALID, with_text(replaced("number 7", "number true"))),
    "number beyond all": (INVALID, with_text(replaced("number 7", "number 99999999999999999999"))),
    "number above the largest": (INVALID, with_text(replaced("number 7", "number 2147483648"))),
    "a year that isn't": (INVALID, with_text(replaced("expires 2", "expires x"))),
    "the thirteenth month": (INVALID, with_text(lambda text: text.replace(
        text.split(b"\n")[4], b"expires 2099-13-01T00:00:00Z"))),
    "a time with an offset": (INVALID, with_text(lambda text: text.replace(
        text.split(b"\n")[4], b"expires 2099-01-01T00:00:00+00:00"))),
    "a name that looks like another": (INVALID, with_text(replaced("package tool", "package to\u043el"))),
    "a direction mark in a name": (INVALID, with_text(replaced("package tool", "package \u202etool"))),
    "a zero byte in a name": (INVALID, with_text(replaced("package tool", "package to\0ol"))),
    "a package twice": (INVALID, with_text(lambda text: text.replace(
        b"end\n", b"package tool 3-1 any explicit - - - 0\nend\n"))),
    "lines in another order": (INVALID, with_text(lambda text: text.replace(
        b"leave yay foreign\n", b"").replace(b"end\n", b"leave yay foreign\nend\n"))),
    "line ends of another system": (INVALID, with_text(lambda text: text.replace(b"\n", b"\r\n"))),
    "blanks at a line's end": (INVALID, with_text(replaced("number 7\n", "number 7 \n"))),
    "text after the end": (INVALID, with_text(lambda text: text + b"package evil 1-1 any explicit - - - 0\n")),
    "text before the beginning": (INVALID, with_text(lambda text: b"\n" + text)),
    "a byte order mark": (INVALID, with_text(lambda text: b"\xef\xbb\xbf" + text)),
    "another format": (INVALID, with_text(replaced("pacsync-revision 1", "pacsync-revision 2"))),
    "an unknown field": (INVALID, with_text(replaced("leave", "allow everything\nleave"))),
    "a size below zero": (INVALID, with_text(replaced(" 1000\n", " -1\n"))),
    "a file name that leads out": (INVALID, with_text(replaced("base-1-1-any", "../base-1-1-any"))),
    "an identity in other letters": (INVALID, with_text(replaced(POOL, POOL.upper().replace("F", "f", 1)[:-1] + "A"))),
    "no packages at all, with half a head": (INVALID, with_text(lambda text: b"pacsync-revision 1\nend\n")),
    "an empty document": (INVALID, with_text(lambda text: b"")),
    "a document that isn't base64": (INVALID, signed_field(document="pacsync-revision 1\n")),
    "a document in other characters": (INVALID, signed_field(document="\u0430" * 100)),
    "a document larger than any": (INVALID, with_text(lambda text: text + b"x" * (17 << 20))),
    "a huge document": (INVALID, signed_field(document="x" * (33 << 20))),
    # --- Signed, and not for here or now
    "expired": (EXPIRED, lambda world: honest(world, in_the_past(world))),
    "expires this second": (EXPIRED, lambda world: honest(
        world, world.document(created=world.now - DAY, expires=world.now))),
    "another pool's": (POOLS, of_document(pool=OTHER_POOL)),
    "another pool's of the same name": (POOLS, of_document(pool=OTHER_POOL, pool_name="web")),
    "another number in the operation": (DIFFERS, saying(revision=8)),
    "a lower number in the operation": (DIFFERS, saying(revision=6)),
    "no number in the operation": (DIFFERS, saying(revision=None)),
    "a number as a text": (DIFFERS, saying(revision="7")),
    "a number with a fraction in the operation": (DIFFERS, saying(revision=7.0)),
    "true for revision 1": (DIFFERS, lambda world: honest(world, world.document(number=1), revision=True)),
    # --- Signed, and the operation does something else
    "a package added to the operation": (DIFFERS, saying(goal=(*GOAL, EVIL))),
    "a package missing in the operation": (DIFFERS, saying(goal=(NEW_TOOL, MINE, HELD))),
    "an older version of a package": (DIFFERS, saying(goal=(OLD_BASE, NEW_TOOL, MINE, HELD))),
    "a package left as it was": (DIFFERS, saying(goal=(BASE, TOOL, MINE, HELD))),
    "an epoch added": (DIFFERS, saying(goal=(BASE, installed("tool", "1:2-1"), MINE, HELD))),
    "an epoch of zero added": (DIFFERS, saying(goal=(BASE, installed("tool", "0:2-1"), MINE, HELD))),
    "another architecture": (DIFFERS, saying(goal=(BASE, NEW_TOOL._replace(arch="x86_64"), MINE, HELD))),
    "another install reason": (DIFFERS, saying(goal=(BASE, NEW_TOOL._replace(reason="dependency"), MINE, HELD))),
    "a package kept that the target has not": (DIFFERS, saying(goal=(*GOAL, EXTRA))),
    "a foreign package removed": (DIFFERS, saying(goal=(BASE, NEW_TOOL, HELD))),
    "a foreign package replaced": (DIFFERS, saying(goal=(BASE, NEW_TOOL, MINE._replace(version="2-1"), HELD))),
    "a held package removed": (DIFFERS, saying(goal=(BASE, NEW_TOOL, MINE))),
    "a held package replaced": (DIFFERS, saying(goal=(BASE, NEW_TOOL, MINE, HELD._replace(version="2-1")))),
    "a package said to be excluded": (DIFFERS, saying(goal=(BASE, TOOL, MINE, HELD))),
    "what the text leaves alone, installed": (DIFFERS, saying(goal=(*GOAL, installed("yay", "1-1")))),
    "what the text excludes, installed": (DIFFERS, lambda world: honest(
        world, world.document(excluded=("linux*",)), goal=(*GOAL, installed("linux", "1-1")))),
    "another checksum of a file": (DIFFERS, saying(files=(signed(BASE), signed(NEW_TOOL, "b" * 64)))),
    "no checksum of a file": (DIFFERS, saying(files=(signed(BASE), signed(NEW_TOOL, None)))),
    "a file that the text doesn't have": (DIFFERS, lambda world: honest(
        world,
        world.document(packages=(signed(BASE), dataclasses.replace(signed(NEW_TOOL), file=None))),
        files=(signed(BASE), signed(NEW_TOOL)))),
    "another repository of a file": (DIFFERS, lambda world: honest(world, files=(signed(BASE), _from_evil()))),
}  # fmt: skip


def _from_evil() -> Any:
    package = signed(NEW_TOOL)
    assert package.file
    return dataclasses.replace(package, file=dataclasses.replace(package.file, repository="evil"))


def refused(machine: TrustingMachine, said: Claim, **options: Any) -> AgentError:
    with pytest.raises(AgentError) as error:
        machine.follow(said, **options)
    assert error.value.message and error.value.hint and error.value.message.isprintable()
    assert len(error.value.message) < 500
    return error.value


def test_honest_revision_is_followed_and_its_checksums_count(world: World, machine: TrustingMachine) -> None:
    found = machine.follow(honest(world))
    assert machine.accepted() == 7
    assert found.machine.trust.signed == {BASE[:3]: "a" * 64, NEW_TOOL[:3]: "a" * 64}
    assert not found.machine.trust.target_files, "on a machine that trusts keys a server's own checksums never count"
    machine.follow(honest(world))  # the same again, as after a crash
    assert machine.accepted() == 7


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_of_a_stolen_server_is_refused(name: str, world: World, machine: TrustingMachine) -> None:
    code, attack = ATTACKS[name]
    error = refused(machine, attack(world))
    assert error.code == code, error.message
    assert isinstance(error, Refused)
    if code != DIFFERS:  # then the signed revision itself was accepted, and not what the server made of it
        assert machine.accepted() is None


def test_there_are_forty_attacks_and_more() -> None:
    assert len(ATTACKS) >= 40


OLDER: dict[str, Callable[[World], RevisionDocument]] = {
    "an older revision": lambda world: world.document(number=6),
    "an older revision that was signed later": lambda world: world.document(number=6, created=world.now + 60),
    "the first revision": lambda world: world.document(number=1),
    "the same number, signed earlier": lambda world: world.document(created=world.now - 60),
    "the same number and time, with another content": lambda world: world.document(packages=(signed(BASE),)),
    "the same revision, with another end": lambda world: world.document(expires=world.now + 2 * DAY),
}


@pytest.mark.parametrize("name", OLDER)
def test_replayed_revision_is_refused_even_by_a_new_agent(name: str, world: World, machine: TrustingMachine) -> None:
    machine.follow(honest(world))
    restarted = TrustedKeys(machine.state_dir)
    assert restarted.record() == machine.keys.record()
    document = OLDER[name](world)
    goal = GOAL if len(document.packages) == 2 else (BASE, MINE, HELD)
    error = refused(machine, honest(world, document, goal=goal))
    assert error.code == "revision_replayed"
    assert machine.accepted() == 7
    machine.follow(honest(world, world.document(number=8)))  # the way back is a new number
    assert machine.accepted() == 8


def test_same_revision_that_was_signed_again_is_followed(world: World, machine: TrustingMachine) -> None:
    machine.follow(honest(world))
    machine.follow(honest(world, world.document(created=world.now + 60, expires=world.now + 9 * DAY)))
    assert refused(machine, honest(world)).code == "revision_replayed"


def test_accepted_number_of_a_pool_counts_when_the_machine_comes_back(world: World, machine: TrustingMachine) -> None:
    machine.follow(honest(world))
    machine.keys.add({}, OTHER_POOL)
    machine.follow(honest(world, world.document(pool=OTHER_POOL, number=2)))
    machine.keys.add({}, POOL)
    assert refused(machine, honest(world, world.document(number=6))).code == "revision_replayed"


# --- The clock


def at(monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    monkeypatch.setattr(signed_revision, "time", SimpleNamespace(time=lambda: float(seconds)))


def test_clock_that_is_behind_follows_a_good_revision(
    world: World, machine: TrustingMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(monkeypatch, 0)  # a machine without a clock of its own, right after its start
    machine.follow(honest(world))
    assert machine.accepted() == 7


def test_clock_that_is_behind_accepts_nothing_that_had_expired_when_the_last_revision_was_signed(
    world: World, machine: TrustingMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.follow(honest(world))
    at(monkeypatch, world.now - 20 * DAY)
    old = in_the_past(world, number=8)
    assert refused(machine, honest(world, old)).code == EXPIRED


def test_clock_that_is_behind_learns_from_a_revision_that_it_refuses(
    world: World, machine: TrustingMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(monkeypatch, world.now - 20 * DAY)
    assert refused(machine, honest(world, world.document(pool=OTHER_POOL))).code == POOLS
    assert refused(machine, honest(world, in_the_past(world))).code == EXPIRED


def test_clock_that_is_behind_does_not_learn_from_what_nobody_signed(
    world: World, machine: TrustingMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a server could make a machine refuse everything, with a time far ahead."""
    ahead = revision_document.to_text(world.document(created=world.now + 900 * DAY, expires=world.now + 901 * DAY))
    assert refused(machine, claim(ahead, world.operator.sign(ahead, world.operator.other))).code == BAD
    machine.follow(honest(world))


def test_clock_that_is_ahead_refuses_what_has_expired_by_it(
    world: World, machine: TrustingMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(monkeypatch, world.now + 30 * DAY)
    error = refused(machine, honest(world))
    assert error.code == EXPIRED and "clock" in error.hint
    monkeypatch.undo()
    machine.follow(honest(world))  # nothing of the wrong time is left


def test_key_that_expired_counts_for_nothing_on_a_machine_whose_clock_is_behind(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key was good in 2020; the text was made today, so today's time counts."""
    machine = TrustingMachine(world, tmp_path, world.operator.expired)
    at(monkeypatch, 1_580_000_000)
    text = text_of(world)
    signature = world.operator.sign(text, world.operator.expired, when=SHORTLY_AFTER)
    assert refused(machine, claim(text, signature)).code == BAD


# --- Keys


def test_signing_subkey_of_a_trusted_key_counts_and_others_do_not(world: World, tmp_path: Path) -> None:
    operator, text = world.operator, text_of(world)
    (tmp_path / "new").mkdir()
    machine = TrustingMachine(world, tmp_path / "new", operator.with_subkey)
    machine.follow(claim(text, operator.sign(text, f"{operator.subkey}!")))
    late = operator.sign(text, f"{operator.expired_subkey}!", when=SHORTLY_AFTER)
    assert refused(machine, claim(text, late)).code == BAD
    (tmp_path / "old").mkdir()
    without = TrustingMachine(world, tmp_path / "old", operator.with_subkey, public=operator.without)
    assert refused(without, claim(text, operator.sign(text, f"{operator.subkey}!"))).code == BAD


def test_revoked_key_counts_for_nothing_once_the_machine_knows(world: World, tmp_path: Path) -> None:
    operator, text = world.operator, text_of(world)
    signature = operator.sign(text, operator.revoked)
    machine = TrustingMachine(world, tmp_path, operator.revoked)
    machine.follow(claim(text, signature))
    operator.keys.revoke(operator.revoked)
    known = {operator.revoked: machine.keys.public(operator.revoked)}
    [merged] = key_files.read(operator.keys.export(operator.revoked), known)
    assert merged.problem == "revoked"
    machine.keys.add({operator.revoked: merged.public}, POOL)
    newer = revision_document.to_text(world.document(number=8))
    for one, said in ((text, signature), (newer, signature)):
        error = refused(machine, claim(one, said))
        assert error.code == BAD
    assert "revoked" in refused(machine, claim(text, signature)).message


def test_any_of_several_trusted_keys_is_enough(world: World, tmp_path: Path) -> None:
    operator, text = world.operator, text_of(world)
    machine = TrustingMachine(world, tmp_path, operator.good, operator.other)
    machine.follow(claim(text, operator.sign(text, operator.other)))


def test_removed_key_counts_for_nothing(world: World, tmp_path: Path) -> None:
    operator = world.operator
    machine = TrustingMachine(world, tmp_path, operator.good, operator.other)
    machine.keys.remove(operator.good)
    assert refused(machine, honest(world)).code == BAD


def test_gpg_that_is_missing_means_that_nothing_is_followed(
    world: World, machine: TrustingMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = honest(world)
    monkeypatch.setitem(key_files.ENVIRONMENT, "PATH", "/nonexistent")
    assert refused(machine, said).code == "program_missing"
    assert machine.accepted() is None


UNSAFE: dict[str, Callable[[TrustedKeys, Path], object]] = {
    "directory open to its group": lambda keys, path: keys.directory.chmod(0o770),
    "directory open to all": lambda keys, path: keys.directory.chmod(0o755),
    "keys open to all": lambda keys, path: keys.keys.chmod(0o707),
    "a key open to others": lambda keys, path: path.chmod(0o666),
    "a key of somebody else": lambda keys, path: os.chown(path, 65534, 65534),
    "directory of somebody else": lambda keys, path: os.chown(keys.directory, 65534, 65534),
    "a key that is a link": lambda keys, path: (path.rename(path.parent.parent / "x"), path.symlink_to("../x")),
    "directory that is a link": lambda keys, path: (
        keys.keys.rename(keys.directory / "real"),
        keys.keys.symlink_to("real"),
    ),
}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("name", UNSAFE)
def test_keyring_that_others_may_have_changed_is_refused(name: str, world: World, machine: TrustingMachine) -> None:
    UNSAFE[name](machine.keys, machine.keys.path(world.operator.good))
    error = refused(machine, honest(world))
    assert error.code == "keyring_unsafe" and isinstance(error, Local)


def test_keyring_with_something_else_in_it_is_refused(world: World, machine: TrustingMachine) -> None:
    (machine.keys.keys / "README").touch(mode=0o600)
    assert refused(machine, honest(world)).code == "keyring_unreadable"


def test_keyring_that_is_gone_while_its_directory_is_there_is_refused(world: World, machine: TrustingMachine) -> None:
    """A machine must not follow everything because a directory vanished."""
    machine.keys.path(world.operator.good).unlink()
    machine.keys.keys.rmdir()
    assert refused(machine, honest(world)).code == "keyring_unreadable"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"\0" * 300,
        b'{"pool": "x"}',
        b'{"pool": "POOL", "clock": -1, "accepted": {}, "managed": [], "before": []}',
        b'{"pool": "POOL", "clock": true, "accepted": {}, "managed": [], "before": []}',
        b'{"pool": "POOL", "clock": 0, "accepted": {"POOL": {"number": 1.5, "created": 1, "digest": "D"}},'
        b' "managed": [], "before": []}',
    ],
)
def test_record_that_makes_no_sense_is_refused(content: bytes, world: World, machine: TrustingMachine) -> None:
    """After a crash of the disk, for example: the last accepted number isn't known, so nothing is accepted."""
    machine.keys.record_path.write_bytes(
        content.replace(b"POOL", POOL.encode()).replace(b'"D"', b'"' + 64 * b"a" + b'"')
    )
    assert refused(machine, honest(world)).code == "trust_record_unreadable"


def test_record_that_is_missing_is_refused(world: World, machine: TrustingMachine) -> None:
    machine.keys.record_path.unlink()
    assert refused(machine, honest(world)).code == "trust_record_unreadable"


def test_revision_that_can_not_be_remembered_is_not_followed(
    world: World, machine: TrustingMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(trusted_keys.files, "write_json", full)
    with pytest.raises(OSError, match="No space"):
        machine.follow(honest(world))
    monkeypatch.undo()
    assert machine.accepted() is None


def test_crash_after_accepting_does_not_let_an_older_revision_in(
    world: World, machine: TrustingMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number is on the disk before anything is gathered, so a kill at any later moment changes nothing."""

    class Killed(BaseException):
        pass

    def killed(*_: object, **__: object) -> None:
        raise Killed

    monkeypatch.setattr("apps.agent.pacsync_agent.operation.signed_operation.SignedOperation.check", killed)
    with pytest.raises(Killed):
        machine.follow(honest(world))
    monkeypatch.undo()
    assert refused(machine, honest(world, world.document(number=6))).code == "revision_replayed"
    machine.follow(honest(world))


# --- What a machine keeps, and what a signature lets it remove


def test_foreign_package_goes_where_the_signed_text_says_so(world: World, machine: TrustingMachine) -> None:
    goal = (BASE, NEW_TOOL, HELD)
    machine.follow(honest(world, world.document(removed=("mine",)), goal=goal))


def test_foreign_package_goes_where_an_earlier_signed_revision_had_it(world: World, machine: TrustingMachine) -> None:
    had = (signed(BASE), signed(MINE), signed(NEW_TOOL))
    machine.follow(honest(world, world.document(packages=had)))
    machine.follow(honest(world, world.document(number=8), goal=(BASE, NEW_TOOL, HELD)))


def test_package_that_the_signed_text_excludes_stays(world: World, machine: TrustingMachine) -> None:
    machine.follow(honest(world, world.document(excluded=("too*",)), goal=(BASE, TOOL, MINE, HELD)))


# --- Going back on the machine


def test_revert_that_a_server_asks_for_is_refused(world: World, machine: TrustingMachine) -> None:
    machine.follow(honest(world))
    assert refused(machine, claim(None, goal=HERE), kind="revert").code == "revert_not_signed"


def test_revert_on_the_machine_leads_only_to_what_it_had_before_a_sync(world: World, machine: TrustingMachine) -> None:
    never = refused(machine, claim(None, goal=HERE), kind="revert", here=True)
    assert never.code == "revert_unknown"
    machine.follow(honest(world))  # it remembers what it had
    machine.follow(claim(None, goal=HERE), kind="revert", here=True)
    for goal in ((*HERE, EVIL), (OLD_BASE, *HERE[1:]), (BASE, EXTRA, MINE, HELD), ()):
        assert refused(machine, claim(None, goal=goal), kind="revert", here=True).code == "revert_unknown"


def test_revert_takes_no_checksum_of_the_server(world: World, machine: TrustingMachine) -> None:
    machine.follow(honest(world))
    said = claim(None, goal=HERE, files=(signed(TOOL, "e" * 64),))
    found = machine.follow(said, kind="revert", here=True)
    assert [hint["sha256"] for hint in found.hints] == [None]


def test_machine_without_keys_ignores_signatures(world: World, tmp_path: Path) -> None:
    machine = TrustingMachine(world, tmp_path)
    machine.keys.remove(world.operator.good)
    found = machine.follow(claim(None))
    assert found.operation.record is None and found.machine.trust.target_files
    assert machine.keys.record() == Record(POOL)
