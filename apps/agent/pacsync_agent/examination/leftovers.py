"""Files of old versions that a transaction should have removed, but didn't. It must not know operations.

When libalpm can't remove one file of a package, it keeps every old file, and still ends with 0. The paths that should
go are noted before pacman starts; what is still there afterwards without an owner is remembered until it is gone.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Optional

from ..databases import local_db, local_files
from ..databases.local_db import Installed
from ..pacman.configuration import PacmanConf
from ..system import files
from . import file_conflicts, installed_files
from .installed_files import Finding

WHY = "left by an old version"


def note(conf: PacmanConf, state_dir: Path, after: Path, installed: Installed, names: Collection[str]) -> None:
    """Note the paths that go when the packages in `names` are replaced or removed, in addition to those noted before.

    `after`: the database as it will be. What pacman keeps on purpose is skipped: configuration files, NoUpgrade and
    NoExtract. Raises OSError.
    """
    going: dict[bytes, str] = {}
    for name in names:
        if name in installed:
            entry = f"{name}-{installed[name].version}"
            going.update((path, name) for path in local_files.of(conf.dbpath, entry) if not path.endswith(b"/"))
            with contextlib.suppress(OSError):
                for path in local_db.read_files(conf.dbpath / "local" / entry)[1]:
                    going.pop(os.fsencode(path), None)
    # Most paths are in the new version of their own package; only the others need the lists of all packages.
    for some in (set(names), None):
        for _, paths in local_files.lists(after, some) if going else ():
            for line in paths:
                going.pop(line.rstrip(b"/"), None)
    aside = [installed_files.patterns_of(conf, option) for option in ("NoExtract", "NoUpgrade")]
    now = time.time()
    news = {
        path: [name, now]
        for path, name in ((os.fsdecode(line), name) for line, name in going.items())
        if not any(installed_files.matches(patterns, path) for patterns in aside)
    }
    if news:
        kept = load(state_dir)
        save(state_dir, going={**kept["going"], **news}, left=kept["left"])


def forget_noted(state_dir: Path) -> None:
    """Forget the noted paths, once the result of the transaction is known. On a full disk they stay; no harm."""
    kept = load(state_dir)
    if kept["going"]:
        with contextlib.suppress(OSError):
            save(state_dir, going={}, left=kept["left"])


def look(conf: PacmanConf, state_dir: Path) -> list[Finding]:
    """The noted files that are still there and belong to no package; they are kept for `known`.

    A file that changed since it was noted was made again by a scriptlet or hook. Raises OSError.
    """
    kept = load(state_dir)
    there = {}
    for path, (name, noted) in kept["going"].items():
        seen = _lstat(conf, path)
        if seen and seen.st_ctime < noted:
            there[path] = [name, *_identity(seen)]
    left = _unowned(conf, there)
    if left:
        save(state_dir, going=kept["going"], left={**kept["left"], **left})
    return _findings(conf, left)


def known(conf: PacmanConf, state_dir: Path) -> list[Finding]:
    """The files that earlier transactions left, if they are still there, unchanged, and no package's."""
    return _findings(conf, _still_there(conf, load(state_dir)["left"]))


def remove(conf: PacmanConf, state_dir: Path) -> tuple[list[Finding], list[Finding]]:
    """Remove exactly the `known` files: those that were removed, and those that could not be, with the reason.

    Raises OSError."""
    kept = load(state_dir)
    removed, stuck, left = [], [], {}
    for path, value in _still_there(conf, kept["left"]).items():
        (finding,) = _findings(conf, {path: value})
        try:
            os.unlink(finding.path)
            removed.append(finding)
        except OSError as error:
            stuck.append(finding._replace(why=error.strerror or str(error)))
            left[path] = value
    if left != kept["left"]:
        save(state_dir, going=kept["going"], left=left)
    return removed, stuck


def _still_there(conf: PacmanConf, left: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    there = {
        path: value for path, value in left.items() if (seen := _lstat(conf, path)) and _identity(seen) == value[1:]
    }
    return _unowned(conf, there)


def _unowned(conf: PacmanConf, paths: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """Those that no package owns, with links resolved: /lib/x belongs to the owner of /usr/lib/x."""
    if not paths:
        return {}
    root = os.fsencode(str(conf.root).rstrip("/"))
    real = {path: file_conflicts.resolved(root, os.fsencode(path)) for path in paths}
    names = {path.rpartition(b"/")[2] for path in real.values()}
    owned = {
        file_conflicts.resolved(root, line)
        for _, lines in local_files.lists(conf.dbpath)
        for line in lines
        if line.rpartition(b"/")[2] in names
    }
    return {path: value for path, value in paths.items() if real[path] not in owned}


def _lstat(conf: PacmanConf, path: str) -> Optional[os.stat_result]:
    """None if there is nothing, or a directory."""
    try:
        seen = os.lstat(f"{str(conf.root).rstrip('/')}/{path}")
    except OSError:
        return None
    return None if stat.S_ISDIR(seen.st_mode) else seen


def _identity(seen: os.stat_result) -> list[Any]:
    """The file's identity. Without ctime, because an attribute may change (`chattr -i`)."""
    return [seen.st_ino, seen.st_size, seen.st_mtime_ns]


def _findings(conf: PacmanConf, left: Mapping[str, Iterable[Any]]) -> list[Finding]:
    root = str(conf.root).rstrip("/")
    return [Finding(next(iter(value)), f"{root}/{path}", WHY) for path, value in sorted(left.items())]


def _path(state_dir: Path) -> Path:
    return state_dir / "leftovers.json"


def load(state_dir: Path) -> dict[str, Any]:
    try:
        found = files.read_json(_path(state_dir)) or {}
    except ValueError:
        found = {}
    return {"going": found.get("going", {}), "left": found.get("left", {})}


def save(state_dir: Path, *, going: Mapping[str, Any], left: Mapping[str, Any]) -> None:
    if going or left:
        files.write_json(_path(state_dir), {"going": going, "left": left})
    else:
        files.remove(_path(state_dir))
