"""A file system in an image, mounted, and what a power cut would leave of it. Needs root and a loop device.

It must not know what is on it. What a program wrote without fsync is in the kernel's memory, and so not in the image.
"""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import run

# How each kind is made, and mounted so that its kernel writes nothing back by itself for a while.
MAKE: dict[str, list[str]] = {
    "ext4": ["mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0"],
    "xfs": ["mkfs.xfs", "-q"],
    "btrfs": ["mkfs.btrfs", "-q", "-f"],
}
OPTIONS = {"ext4": "commit=600", "xfs": "defaults", "btrfs": "commit=600"}


def loop_devices_work() -> bool:
    return os.geteuid() == 0 and subprocess.run(["losetup", "-f"], capture_output=True).returncode == 0


def can_be_made(kind: str) -> bool:
    """Whether this machine has the program and the kernel for a file system of that kind."""
    known = {line.split()[-1] for line in Path("/proc/filesystems").read_text().splitlines()}
    return (
        kind in known and shutil.which(f"mkfs.{kind}", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is not None
    )


@contextlib.contextmanager
def mounted(image: Path, place: Path) -> Iterator[Path]:
    place.mkdir(exist_ok=True)
    run("mount", "-o", "loop", image, place)
    try:
        yield place
    finally:
        run("umount", "-l", place)  # lazy: whatever still runs there must not keep the test from ending


@contextlib.contextmanager
def disk_in(folder: Path, kind: str = "ext4", size: int = 400 << 20) -> Iterator[Path]:
    """The new file system of `folder/disk.img`, mounted at `folder/disk`. `size` in bytes."""
    image = folder / "disk.img"
    with image.open("wb") as file:
        file.truncate(size)
    run(*MAKE[kind], image)
    with mounted(image, folder / "disk") as place:
        run("mount", "-o", f"remount,{OPTIONS[kind]}", place)
        yield place


def copy_image(disk: Path) -> Path:
    """What is in the image at this moment, as an image of its own."""
    copy = disk.with_name("copy.img")
    run("cp", "--sparse=always", disk.with_name("disk.img"), copy)
    return copy


@contextlib.contextmanager
def after_a_power_cut(disk: Path) -> Iterator[Path]:
    """The same file system from what is in the image at this moment, beside the living one."""
    with mounted(copy_image(disk), disk.with_name("copy")) as place:
        yield place


@contextlib.contextmanager
def power_cut(disk: Path) -> Iterator[None]:
    """The same in the place of the living one, which is gone: some kinds can't be mounted twice."""
    copy = copy_image(disk)
    deadline = time.monotonic() + 10
    while subprocess.run(["umount", disk], capture_output=True).returncode and time.monotonic() < deadline:
        time.sleep(0.1)  # what was killed is on its way out
    run("mount", "-o", "loop", copy, disk)
    yield
