"""Whether this machine permits a plan: it removes no protected package, and no file lands below an unmounted place.

Checked once for each operation, before anything is changed; a begun operation is finished without a check. It must not
know servers or how a plan is carried out.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from ..databases import local_db, local_files
from ..databases.local_db import Installed
from ..errors import Refused
from ..packages import package_paths
from ..packages.package_file import PackageFile
from ..pacman.configuration import PacmanConf
from ..planning import plan
from ..planning.plan import Plan
from ..system import files, mounts
from ..terminal.listing import named
from . import protection
from .protection import Protected
from .roles import BY_CODE

_FORMAT = 1


def protected(conf: PacmanConf, state_dir: Path, installed: Installed, words: Collection[str]) -> list[Protected]:
    """The packages that the machine protects now. All file lists are read only when a package changed."""
    return protection.find(installed, conf.root, words, _owners(conf, state_dir, installed))


def unknown_words(words: Collection[str], conf: PacmanConf) -> list[str]:
    """The words of the setting `protect` that are neither a role nor an installed package."""
    others = [word for word in words if not protection.is_role(word)]
    installed = local_db.read(conf.dbpath) if others else {}
    return [word for word in others if not plan.matching(installed, [word])]


def essential(conf: PacmanConf, state_dir: Path, installed: Installed) -> set[str]:
    """The packages that no remedy may take away, even for a moment."""
    return protection.essential(conf.dbpath, installed, _owners(conf, state_dir, installed))


def _owners(conf: PacmanConf, state_dir: Path, installed: Installed) -> dict[str, list[str]]:
    packages = sorted((one.name, one.version) for one in installed.values())
    changed = (conf.dbpath / "local").stat().st_mtime_ns
    key = hashlib.sha256(repr((_FORMAT, packages, changed, __file__)).encode()).hexdigest()
    path = state_dir / "protected.json"
    try:
        known = files.read_json(path) or {}
    except ValueError:
        known = {}
    if known.get("key") != key:
        known = {"key": key, "owners": protection.owners_by_files(conf.dbpath, conf.root)}
        with contextlib.suppress(OSError):  # a full disk: it is computed again the next time
            files.write_json(path, known)
    owners: dict[str, list[str]] = known["owners"]
    return owners


def of(
    conf: PacmanConf, state_dir: Path, words: Collection[str], forced: Collection[str]
) -> Callable[[Installed, Plan, Sequence[PackageFile]], None]:
    """`check` for one operation; `forced` lists protected packages that a person on this machine wants removed.

    `words` is the setting `protect`.
    """

    def permit(installed: Installed, steps: Plan, new: Sequence[PackageFile]) -> None:
        guarded = protected(conf, state_dir, installed, words)
        check(conf, guarded, installed=installed, steps=steps, new=new, forced=forced)

    return permit


def check(
    conf: PacmanConf,
    guarded: Iterable[Protected],
    *,
    installed: Installed,
    steps: Plan,
    new: Sequence[PackageFile],
    forced: Collection[str],
) -> None:
    """Raise Refused (`protected`, `not_mounted`). `new` lists the files of all packages that the plan installs."""
    guarded = list(guarded)
    removed = {package.name for package in steps.remove}
    newcomers = [file for file in new if file.name not in installed]
    protection.check(protection.removals(guarded, removed, newcomers), forced)
    places = mounts.missing(conf.root)
    if places:
        _check_mounted(conf, places, installed, steps, new)


def _check_mounted(
    conf: PacmanConf, places: Collection[str], installed: Installed, steps: Plan, new: Sequence[PackageFile]
) -> None:
    paths = {file.name: package_paths.of(file.path) for file in new}
    for name in {*paths, *(package.name for package in steps.remove)} & installed.keys():
        old = local_files.of(conf.dbpath, f"{name}-{installed[name].version}")
        paths.setdefault(name, [])
        paths[name] += [path for path in old if not path.endswith(b"/")]
    written = _written_by_kernels(conf.root)
    for place in places:
        below = place.strip("/").encode(errors="surrogateescape") + b"/"
        names = [name for name, found in paths.items() if any(path.startswith(below) for path in found)]
        if any(path.startswith(below) for path in written):
            names += [name for name, found in paths.items() if protection.fills(BY_CODE["kernel"], found)]
        if names:
            raise _not_mounted(conf.root, place, names)


def _written_by_kernels(root: Path) -> list[bytes]:
    """Where hooks put kernels: /boot, and the paths in mkinitcpio's presets. No package's file list has them."""
    found = [b"boot/vmlinuz"]
    for preset in sorted((root / "etc/mkinitcpio.d").glob("*.preset")):
        try:
            text = preset.read_bytes()
        except OSError:
            continue
        found += re.findall(rb"""^\s*\w+_(?:image|uki|efi_image|kver)=["']?/+([^"'\s]+)""", text, re.MULTILINE)
    return found


def _not_mounted(root: Path, place: str, names: Collection[str]) -> Refused:
    how = f"Run `mount {place}`" if root == Path("/") else f"Mount it on {root / place.strip('/')}"
    fstab = root / "etc/fstab"
    several = len(set(names)) > 1
    return Refused(
        "not_mounted",
        f"{place} of {fstab} isn't mounted, and {named(set(names))} {'have' if several else 'has'} files there. "
        "They would land on another file system.",
        f"{how}, and sync again; or take the entry out of {fstab} if it isn't used any more.",
    )
