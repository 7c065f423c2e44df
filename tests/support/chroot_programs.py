"""Programs of this machine in the root of another one, with the libraries that they need: scriptlets run in a chroot.

It must not know what they are for.
"""

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterable
from pathlib import Path

# What pacman-key calls, itself or through its library. awk may be a link to a link.
PACMAN_KEY = ("sh", "bash", "gpg", "gpg-agent", "gpgconf", "pacman-key", "pacman-conf", "vercmp")
PACMAN_KEY += ("awk", "grep", "cat", "chmod", "touch", "mkdir", "id", "sleep", "wc")


def put(root: Path, programs: Iterable[str]) -> None:
    """Copy these programs into `root`, with their libraries. Needs root, for `/dev/null`."""
    for name in programs:
        found = shutil.which(name)
        assert found, name
        _copy(Path(found), root / "usr/bin" / name)
        said = subprocess.run(["ldd", found], capture_output=True, text=True).stdout  # it fails for a script
        for library in re.findall(r"(/\S+) \(0x", said):
            _copy(Path(library), root / library[1:])
    for name in ("bin", "tmp", "dev", "etc"):
        (root / name).mkdir(exist_ok=True)
    for name in ("sh", "bash"):  # the two that are called by a path
        _copy(root / "usr/bin" / name, root / "bin" / name)
    if not (root / "dev/null").exists():
        os.mknod(root / "dev/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))


def put_pacman_key(root: Path, conf: str) -> None:
    """pacman-key, ready to be run in `root`; `conf` is its /etc/pacman.conf. Keyrings are where Arch has them."""
    put(root, PACMAN_KEY)
    shutil.copytree("/usr/share/makepkg", root / "usr/share/makepkg", dirs_exist_ok=True)
    (root / "etc/pacman.conf").write_text(conf)
    (root / "usr/share/pacman").mkdir(parents=True, exist_ok=True)
    if not (root / "usr/share/keyrings").exists():
        (root / "usr/share/keyrings").symlink_to("pacman/keyrings")  # where Debian's pacman-key looks


def _copy(source: Path, target: Path) -> None:
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
