"""Signatures of real keys: good, expired, revoked, unknown, untrusted, of something else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.agent.pacsync_agent.trust import signatures
from apps.agent.pacsync_agent.trust.acceptance import Signature
from tests.support.keys import SHORTLY_AFTER, Keys

pytestmark = pytest.mark.needs("gpg")


class World:
    """A packager with keys of every kind, and a machine that knows them all but one."""

    def __init__(self, directory: Path) -> None:
        self.packager, self.machine = Keys(directory / "packager"), Keys(directory / "machine")
        self.good, self.untrusted = self.packager.make("good"), self.packager.make("untrusted")
        self.unknown, self.revoked = self.packager.make("unknown"), self.packager.make("revoked")
        self.expired, self.disabled = self.packager.make("expired", expired=True), self.packager.make("disabled")
        self.file, self.other = directory / "tool.pkg.tar.zst", directory / "other.pkg.tar.zst"
        self.file.write_bytes(b"tool" * 1000)
        self.other.write_bytes(b"other" * 1000)
        self.revoked_signature = self.signature(self.revoked)
        self.packager.revoke(self.revoked)
        keys = (self.good, self.untrusted, self.revoked, self.expired, self.disabled)
        self.machine.learn(self.packager.export(*keys), self.good, self.revoked, self.expired, self.disabled)
        self.machine.gpg("--command-fd", "0", "--edit-key", self.disabled, data=b"disable\nquit\n")

    def signature(self, key: str, path: Path | None = None, **options: object) -> bytes:
        return self.packager.sign(path or self.file, key, **options).read_bytes()  # type: ignore[arg-type]

    def kinds(self) -> dict[str, tuple[bytes, bool, bool]]:
        """Signature, whether it is good, and whether it is where any key of the keyring will do."""
        good = self.signature(self.good)
        inline = self.packager.gpg("--local-user", self.good, "--output", "-", "--sign", self.other)
        old = self.signature(self.expired, when=SHORTLY_AFTER)
        short = self.signature(self.good, when=SHORTLY_AFTER, options=("--default-sig-expire", "30"))
        untrusted = self.signature(self.untrusted)
        return {
            "good": (good, True, True),
            "untrusted key": (untrusted, False, True),
            "unknown key": (self.signature(self.unknown), False, False),
            "revoked key": (self.revoked_signature, False, False),
            "expired key": (old, False, False),
            "disabled key": (self.signature(self.disabled), False, False),
            "expired signature": (short, False, False),
            "of another file": (self.signature(self.good, self.other), False, False),
            "a signed message of its own": (inline, False, False),
            "good and unknown": (good + self.signature(self.unknown), False, False),
            "good and untrusted": (good + untrusted, False, True),
            "twice good": (good + good, True, True),
            "cut off": (good[:-10], False, False),
            "a login page": (b"<html>Please log in</html>", False, False),
            "empty": (b"", False, False),
            "too large": (good + b"\0" * (17 << 10), False, False),
        }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("keys"))
    yield made
    made.packager.stop()
    made.machine.stop()


def test_signature_of_every_kind(world: World) -> None:
    path = signatures.signature_path(world.file)
    found = {}
    for kind, (content, *_) in world.kinds().items():
        path.write_bytes(content)
        checks = [
            signatures.check(world.file, path, home=world.machine.home, trust_all=every) for every in (False, True)
        ]
        found[kind] = tuple(check.good for check in checks)
        assert all(check.good or (check.signature is Signature.BAD and check.reason) for check in checks), kind
    assert found == {kind: tuple(expected) for kind, (_, *expected) in world.kinds().items()}


def test_signature_of_a_file_that_was_changed_is_bad(world: World, tmp_path: Path) -> None:
    path = tmp_path / "changed"
    path.write_bytes(world.file.read_bytes() + b"x")
    signature = tmp_path / "changed.sig"
    signature.write_bytes(world.signature(world.good))
    assert signatures.check(path, signature, home=world.machine.home).reason == "it belongs to other content"
