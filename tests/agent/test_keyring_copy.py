"""A copy of pacman's keyring takes in the keys of a package as `pacman-key --populate` would; the keyring stays."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.agent.pacsync_agent.trust import keyring_copy, signatures
from tests.support.keys import Keys
from tests.support.pacman import Fleet, Package

pytestmark = pytest.mark.needs("gpg")


class World:
    """A packager; a machine whose keyring has a key of its own to sign with, and trusts `known`."""

    def __init__(self, directory: Path) -> None:
        self.fleet = Fleet(directory)
        self.packager, self.machine = Keys(directory / "p"), Keys(directory / "k")
        self.known, self.added = self.packager.make("known"), self.packager.make("added")
        self.public = self.packager.make("public")
        self.own = self.machine.make("own")
        self.machine.learn(self.packager.export(self.known))
        self.machine.gpg("--quick-lsign-key", self.known)

    def keyring(self, trusted: str, revoked: str = "") -> Package:
        """All keys; `added` is trusted, `public` isn't."""
        directory = keyring_copy.DIRECTORY
        files = {
            f"{directory}test.gpg": self.packager.export(self.known, self.added, self.public),
            f"{directory}test-trusted": f"# comment\n\n{trusted}:4:\n".encode(),
            f"{directory}test-revoked": f"{revoked}\n".encode() if revoked else b"",
        }
        return self.fleet.package("test-keyring", "2-1", files=files)

    def verdict(self, home: Path, key: str) -> str:
        path = self.fleet.directory / "file"
        path.write_text("content")
        checked = signatures.check(path, self.packager.sign(path, key), home=home)
        return checked.reason or "good"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.packager.stop()
    made.machine.stop()


def content(directory: Path) -> dict[str, str]:
    paths = [path for path in directory.rglob("*") if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def test_copy_knows_the_keys_and_the_keyring_does_not(world: World) -> None:
    assert world.verdict(world.machine.home, world.known) == "good"
    assert world.verdict(world.machine.home, world.added) == "its key is unknown here"
    before = content(world.machine.home)
    with keyring_copy.populated(world.machine.home, [world.keyring(world.added).path]) as home:
        assert world.verdict(home, world.known) == world.verdict(home, world.added) == "good"
        assert world.verdict(home, world.public) == "its key is not trusted here"
        assert home.parent.stat().st_mode & 0o777 == 0o700
    assert not home.parent.exists()
    assert content(world.machine.home) == before
    assert world.verdict(world.machine.home, world.added) == "its key is unknown here"


def test_copy_refuses_the_keys_that_the_package_revokes(world: World) -> None:
    with keyring_copy.populated(world.machine.home, [world.keyring(world.added, revoked=world.known).path]) as home:
        assert world.verdict(home, world.known) == "its key is disabled here"
        assert world.verdict(home, world.added) == "good"
    assert world.verdict(world.machine.home, world.known) == "good"


def test_keyring_without_a_key_to_sign_with_stays_as_it_is(world: World, tmp_path: Path) -> None:
    """pacman-key would refuse to take in anything, so the package changes nothing."""
    for home in (Keys(tmp_path / "empty").home, tmp_path / "missing"):
        with keyring_copy.populated(home, [world.keyring(world.added).path]) as found:
            assert found == home


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("usr/share/pacman/keyrings/archlinux.gpg", True),
        ("usr/share/pacman/keyrings/archlinux-trusted", False),
        ("usr/lib/gnome-keyring/keys.gpg", False),
    ],
)
def test_keyring_is_told_by_its_files(tmp_path: Path, path: str, answer: bool) -> None:
    package = Fleet(tmp_path).package("some-keyring", "1-1", files={path: b"x"})
    assert keyring_copy.is_keyring(package.path) is answer


@pytest.mark.skipif(not os.access("/run", os.W_OK), reason="only root may write to /run")
def test_copy_never_reaches_a_disk(world: World) -> None:
    with keyring_copy.populated(world.machine.home, []) as home:
        assert Path("/run") in home.parents
