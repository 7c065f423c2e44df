"""Whether this machine permits a plan: it removes no protected package, and files can be written where they belong.

Checked once for each operation, before anything is changed; a begun operation is finished without a check. It must not
know servers or how a plan is carried out.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from ..databases import local_db, local_files
from ..databases.local_db import Installed
from ..errors import READ_ONLY_HINT, Refused
from ..packages import package_paths
from ..packages.package_file import PackageFile
from ..pacman.configuration import PacmanConf
from ..planning import plan
from ..planning.plan import Plan
from ..system import files, mounts
from ..system.mounts import Place
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
    """Raise Refused (`protected`, `not_mounted`, `read_only`). `new`: the files of all packages that are installed."""
    guarded = list(guarded)
    removed = {package.name for package in steps.remove}
    newcomers = [file for file in new if file.name not in installed]
    protection.check(protection.removals(guarded, removed, newcomers), forced)
    if mounts.is_read_only(conf.dbpath):
        raise _read_only(f"{conf.dbpath}, where pacman's database is, is mounted read-only")
    missing, unwritable = mounts.missing(conf.root), mounts.read_only(conf.root)
    if not missing and not unwritable:
        return
    paths, written = _paths(conf, installed, steps, new), _written_by_kernels(conf.root)
    for place in missing:
        names = _with_files(paths, written, Place(place).has)
        if names:
            raise _not_mounted(conf.root, place, names)
    for one in unwritable:
        names = _with_files(paths, written, one.has)
        if names:
            have = "have" if len(names) > 1 else "has"
            where = conf.root / one.name.strip("/")
            raise _read_only(f"{where} is mounted read-only, and {named(names)} {have} files there")


def _paths(conf: PacmanConf, installed: Installed, steps: Plan, new: Sequence[PackageFile]) -> dict[str, list[bytes]]:
    """The files that the plan writes and removes, by package."""
    paths = {file.name: package_paths.of(file.path) for file in new}
    for name in {*paths, *(package.name for package in steps.remove)} & installed.keys():
        old = local_files.of(conf.dbpath, f"{name}-{installed[name].version}")
        paths.setdefault(name, [])
        paths[name] += [path for path in old if not path.endswith(b"/")]
    return paths


def _with_files(
    paths: Mapping[str, Sequence[bytes]], written: Iterable[bytes], is_there: Callable[[bytes], bool]
) -> set[str]:
    """The packages that have files there. `written` are the kernels' files, which hooks put there."""
    names = {name for name, found in paths.items() if any(map(is_there, found))}
    if any(map(is_there, written)):
        names |= {name for name, found in paths.items() if protection.fills(BY_CODE["kernel"], found)}
    return names


def _read_only(what: str) -> Refused:
    return Refused("read_only", f"{what}. Nothing was changed.", READ_ONLY_HINT)


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
    several = len(names) > 1
    return Refused(
        "not_mounted",
        f"{place} of {fstab} isn't mounted, and {named(names)} {'have' if several else 'has'} files there. "
        "They would land on another file system.",
        f"{how}, and sync again; or take the entry out of {fstab} if it isn't used any more.",
    )
