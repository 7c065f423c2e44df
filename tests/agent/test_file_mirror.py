"""What a `file://` mirror may have in the place of a package: each is refused with its reason, and nothing is left."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.agent.gathering import ANOTHER, GatheringMachine, refused
from tests.support.pacman import Package


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)  # in the working directory: the address of a socket is short


LINKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "link to a secret": (lambda path: path.symlink_to("/etc/shadow"), "link to something else"),
    "link to a device": (lambda path: path.symlink_to("/dev/zero"), "link to something else"),
    "link to itself": (lambda path: path.symlink_to(path.name), "can't be opened"),
    "link to nothing": (lambda path: path.symlink_to(path.parent / "none" / path.name), "not there"),
    "FIFO": (os.mkfifo, "not a regular file"),
    "directory": (lambda path: path.mkdir(), "not a regular file"),
    "socket": (lambda path: make_socket(path), "can't be opened"),
    "too large": (lambda path: path.write_bytes(b"x" * (2 << 20)), "larger than declared"),
    "sparse, terabytes": (lambda path: (path.touch(), os.truncate(path, 1 << 40)), "larger than declared"),
    "another file": (lambda path: path.write_bytes(b"root:x:0:0:"), ANOTHER),
    "nothing": (lambda path: None, "not there"),
}


@pytest.mark.parametrize("case", LINKS)
def test_own_file_mirror_with_something_else(
    case: str, package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, reason = LINKS[case]
    (tmp_path / "m").mkdir()
    monkeypatch.chdir(tmp_path / "m")
    make(tmp_path / "m" / package.path.name)
    error = refused(GatheringMachine(tmp_path, package, f"file://{tmp_path / 'm'}"))
    comes = reason in {ANOTHER, "larger than declared"}
    assert error.code == ("mirror_failed" if comes else "package_unavailable") and reason in error.message
    assert "/etc/shadow" not in error.message and "Permission" not in error.message


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_own_file_mirror_with_a_device_is_not_read(package: Package, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    try:
        os.mknod(tmp_path / "m" / package.path.name, 0o20644, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("this container makes no devices")
    assert "not a regular file" in refused(GatheringMachine(tmp_path, package, f"file://{tmp_path / 'm'}")).message


def test_own_file_mirror_with_links_into_a_pool_is_used(package: Package, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / package.path.name).symlink_to(package.path)
    assert (
        GatheringMachine(tmp_path, package, f"file://{tmp_path / 'm'}").gather().path.read_bytes()
        == package.path.read_bytes()
    )
