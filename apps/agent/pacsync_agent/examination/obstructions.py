"""Finds directories that lie where packages bring files, before pacman starts. It must not run pacman.

Before it begins, pacman checks only paths that are new to a package. A directory at a path that the database has as a
file stops it in the middle ("not overwriting dir with file"), and then it can go neither forward nor back.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..databases import local_files
from ..databases.local_db import Installed
from ..errors import Failed
from ..packages import package_paths
from ..packages.package_file import PackageFile
from ..pacman.configuration import PacmanConf
from ..terminal.listing import named
from . import file_conflicts, installed_files


@dataclass(frozen=True)
class Obstruction:
    """A directory at `path`, where `package` brings a file or a link; `owners` have files in it."""

    package: str
    path: str
    owners: frozenset[str] = frozenset()


def check(conf: PacmanConf, installed: Installed, removed: Collection[str], new: Sequence[PackageFile]) -> None:
    """Raise Failed (`file_conflict`) where a directory is in the way that doesn't go with the transaction."""
    found = find(conf, installed, removed, new)
    if found:
        error = failure(found, {*removed, *(file.name for file in new)})
        raise Failed(error.code, f"{error.message} Nothing was changed.", f"{error.hint} Then sync again.")


def find(
    conf: PacmanConf, installed: Installed, removed: Collection[str], new: Sequence[PackageFile]
) -> list[Obstruction]:
    """The directories in the way of the packages in `new`, which come after those in `removed` are gone; sorted.

    Costs an lstat for each file of the packages that go or are replaced. Package files are opened only when one of
    those is a directory. Raises archive.ArchiveError, OSError.
    """
    root = os.fsencode(str(conf.root).rstrip("/"))
    news = [file.name for file in new]
    staying = _as_directory(conf, root, installed, news)
    going = _as_directory(conf, root, installed, removed) - staying
    if not (staying or going):
        return []
    hidden = installed_files.patterns_of(conf, "NoExtract")
    hit = [
        (file.name, path)
        for file in new
        for path in (staying | going).intersection(package_paths.of(file.path))
        if not installed_files.matches(hidden, os.fsdecode(path))
    ]
    owners = _owners(conf, [path + b"/" for _, path in hit])
    found = []
    for name, path in hit:
        inside = {line: owner for line, owner in owners.items() if line.startswith(path + b"/")}
        if path in staying or not _goes(root, path, {line for line, owner in inside.items() if owner in removed}):
            full = os.fsdecode(root + b"/" + path)
            found.append(Obstruction(name, full, frozenset(inside.values())))
    return sorted(found, key=lambda one: (one.package, one.path))


def _as_directory(conf: PacmanConf, root: bytes, installed: Installed, names: Iterable[str]) -> set[bytes]:
    """The paths that are files in these packages' entries and directories on the machine."""
    return {
        path
        for name in names
        if name in installed
        for path in local_files.of(conf.dbpath, f"{name}-{installed[name].version}")
        if not path.endswith(b"/") and _is_directory(root + b"/" + path)
    }


def _is_directory(path: bytes) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def _owners(conf: PacmanConf, directories: Sequence[bytes]) -> dict[bytes, str]:
    """The owner of each file in these directories."""
    prefixes = tuple(directories)
    return {
        line: name
        for name, paths in local_files.lists(conf.dbpath)
        for line in paths
        if not line.endswith(b"/") and line.startswith(prefixes)
    }


def _goes(root: bytes, path: bytes, going: Collection[bytes]) -> bool:
    """Whether nothing is left of the directory when the files in `going` are removed."""
    return all(line[len(root) + 1 :] in going for line in _below(root + b"/" + path))


def _below(directory: bytes) -> Iterator[bytes]:
    for above, directories, names in os.walk(directory):
        links = [name for name in directories if os.path.islink(above + b"/" + name)]
        yield from (above + b"/" + name for name in (*names, *links))


def failure(found: Sequence[Obstruction], touched: Collection[str]) -> Failed:
    """The error, with the remedy. `touched`: the packages that the transaction changes or removes."""
    others = {name for one in found for name in one.owners} - set(touched)
    text, hint = _said(found), "Move those directories to another place, with what is in them."
    if len(found) == 1:
        hint = "Move that directory to another place, with what is in it."
    if others:
        newcomers = {one.package for one in found if not one.owners.isdisjoint(others)}
        said, remedy = file_conflicts.staying_owners(others, newcomers - others)
        return Failed("file_conflict", f"{text} {said}", f"{remedy}. {hint}")
    return Failed("file_conflict", f"{text} pacman doesn't replace a directory.", hint)


def _said(found: Sequence[Obstruction]) -> str:
    packages = sorted({one.package for one in found})
    if len(found) == 1:
        return f"A directory is where package {packages[0]} has a file: {found[0].path}."
    if len(packages) == 1:
        paths = named([one.path for one in found])
        return f"Directories are where package {packages[0]} has files: {paths}."
    paths = named([f"{one.path} ({one.package})" for one in found])
    return f"Directories are where packages have files: {paths}."
