"""File conflicts of a pacman run: what is in the way, who owns it, and what helps.

It must not know why pacman was run. pacman names an owner only where another package has the same file, and none where
a directory and a symbolic link change places, although a package owns what is there. Each remedy was tried on a real
machine (tests/agent/test_file_conflicts.py): what helps in one case destroys files in another.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from ..databases import local_files
from ..errors import Failed
from ..pacman.configuration import PacmanConf
from ..pacman.execution import Run

_LINE = re.compile(r"^(\S+): (/.*) exists in filesystem(?: \(owned by (.*)\))?$", re.MULTILINE)
_BOTH = re.compile(r"^(/.*) exists in both '(.*)' and '(.*)'$", re.MULTILINE)
_MOST = 10
# A directory with more owners than this is shared by everybody: removing them all for a moment is no remedy.
_FEW = 3
# This many ownerless files of one package mean that its database entry was lost.
_LOST_ENTRY = 5
_MOST_LOOKED_AT = 20_000  # files of a directory in the way


@dataclass(frozen=True)
class FileConflict:
    """`path` is in the way of `package`; `other` is the package that has the same file, empty if pacman names none."""

    package: str
    path: str
    other: str = ""


@dataclass
class _Found:
    """What lies at the conflicting paths.

    `owners` lists the packages that own it; `changing` those of them whose directory and link change places; `links`
    paths where the machine has a link and packages have a directory; `strays` ownerless files in a directory that a
    package owns; `free` paths that no package owns.
    """

    owners: set[str] = field(default_factory=set)
    changing: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    free: list[FileConflict] = field(default_factory=list)


def of(run: Run) -> list[FileConflict]:
    """The conflicts in pacman's output; empty when it failed for another reason."""
    return [FileConflict(package, path, other or "") for package, path, other in _LINE.findall(run.output)]


def between(run: Run) -> list[tuple[str, str, str]]:
    """(path, package, package) of the files that two packages of one transaction have."""
    return _BOTH.findall(run.output)


def failure(run: Run, conf: PacmanConf, touched: Collection[str], essential: Collection[str]) -> Failed:
    """The error for a person: what is in the way, and the remedy for this kind of conflict.

    `touched` are the installed packages that the transaction changes or removes: an owner that isn't among them stays.
    `essential` lists those without which neither pacman nor the agent runs: no remedy takes one of them away.
    """
    conflicts, twice = of(run), between(run)
    found = _look(conf, [one for one in conflicts if not one.other])
    others = {one.other for one in conflicts if one.other}
    text = f"pacman found files in its way: {_listed(conflicts, twice)}."
    newcomers = {one.package for one in conflicts} | {name for _, *names in twice for name in names}
    if twice:
        return Failed(
            "file_conflict",
            text,
            f"Exclude one of {_names(newcomers)} in the pool, or set a target in which only one of them has the file.",
        )
    staying = (found.owners | others) - set(touched)
    parts: list[tuple[str, str]] = []  # what is there, and what helps
    if staying:
        parts.append(staying_owners(staying, newcomers - staying))
    if found.links:
        said = f"Packages have a directory at {_names(found.links)}, but the machine has a link there."
        parts.append((said, "Remove that link, and move the directory that it leads to into its place"))
    if found.strays:
        said = f"In the directory are files that no package owns: {_names(found.strays)}."
        parts.append((said, "Move those files to another place"))
    if found.free:
        parts.append(_unowned(found.free, alone=len(found.free) == len(conflicts)))
    before = "; ".join(remedy for _, remedy in parts)
    changing = (found.changing | others) - staying
    if changing:
        said, remedy = _changing_places(changing, essential)
        parts.append((said, remedy))
        hint = f"{before}. Then: {remedy}" if before else remedy
    else:
        hint = f"{before}. Then sync again."
    return Failed("file_conflict", " ".join([text, *(said for said, _ in parts if said)]), hint)


def staying_owners(owners: Collection[str], newcomers: Collection[str]) -> tuple[str, str]:
    return (
        f"What is there belongs to {_names(owners)}, which stays as it is.",
        f"If it isn't needed, remove it here with `pacman -R {_names(owners, ' ')}`; if IgnorePkg holds it, lift that; "
        f"or exclude {_names(newcomers)} in the pool",
    )


def _unowned(conflicts: Collection[FileConflict], *, alone: bool) -> tuple[str, str]:
    """`alone`: all conflicts of the transaction are of this kind, so they need not be named again."""
    packages = [one.package for one in conflicts]
    lost = {name for name in packages if packages.count(name) >= _LOST_ENTRY}
    said = "No package owns them." if alone else f"No package owns {_names(one.path for one in conflicts)}."
    if lost:
        return (
            said,
            f"If {_names(lost)} was installed before, its database entry is lost: don't move its files, the system may "
            f"need them, but run `pacman -S --dbonly {_names(lost, ' ')}`, then `pacsync-agent sync --repair`, because "
            "the files may be of another version. Else move them to another place",
        )
    return said, "Move them to another place" if alone else "Move those that no package owns to another place"


def _changing_places(owners: Collection[str], essential: Collection[str]) -> tuple[str, str]:
    """The cause and the remedy where pacman has to remove the owner first."""
    names = _names(owners, " ")
    said = f"What is there belongs to {names}: a directory and a link change places, too much for one step."
    if len(owners) > _FEW or not set(owners).isdisjoint(essential):
        news = "https://archlinux.org/news/"
        return said, f"Don't remove {names}. Look for the way that its news name ({news}), then sync again."
    return said, (
        f"pacman can make this change only when {names} is removed first: run `pacman -Rdd {names}`, then "
        "`pacsync-agent sync`, and don't restart the machine in between. Configuration files that you changed are kept "
        "as .pacsave. Moved away by hand, files would be missing."
    )


def _look(conf: PacmanConf, conflicts: Iterable[FileConflict]) -> _Found:
    """What lies at these paths, for which pacman names no owner."""
    root = os.fsencode(str(conf.root).rstrip("/"))
    paths = {one: os.fsencode(one.path)[len(root) :].strip(b"/") for one in conflicts}
    real = {one: resolved(root, path) for one, path in paths.items()}
    wanted = {*paths.values(), *real.values()}
    directories = tuple(path + b"/" for path in set(paths.values()) if _is_directory(root, path))
    owners: dict[bytes, set[str]] = {}
    as_directory: set[bytes] = set()
    inside: set[bytes] = set()
    for name, owned in local_files.lists(conf.dbpath):
        for line in owned:
            if line.startswith(directories):
                inside.add(line.rstrip(b"/"))
            path = line.rstrip(b"/")
            if path in wanted:
                owners.setdefault(path, set()).add(name)
                if path != line:
                    as_directory.add(path)
    found = _Found()
    for one, path in paths.items():
        names = owners.get(path) or owners.get(real[one]) or set()
        if names and path in as_directory and os.path.islink(root + b"/" + path):
            found.links.append(one.path)
        elif names:
            found.owners |= names
            strays = _strays(root, path, inside) if path + b"/" in directories else []
            found.strays += strays
            found.changing |= set() if strays else names
        else:
            found.free.append(one)
    return found


def _strays(root: bytes, directory: bytes, owned: Collection[bytes]) -> list[str]:
    """The files below the directory that are not `owned`, sorted, as full paths."""
    found = []
    seen = 0
    for above, directories, names in os.walk(root + b"/" + directory):
        below = above[len(root) + 1 :]
        names += [name for name in directories if os.path.islink(above + b"/" + name)]
        found += [below + b"/" + name for name in names if below + b"/" + name not in owned]
        seen += len(names)
        if seen > _MOST_LOOKED_AT:
            break
    return [f"{os.fsdecode(root)}/{os.fsdecode(path)}" for path in sorted(found)]


def _is_directory(root: bytes, path: bytes) -> bool:
    full = root + b"/" + path
    return os.path.isdir(full) and not os.path.islink(full)


def resolved(root: bytes, path: bytes) -> bytes:
    """The path with the links of its parent directories resolved, as long as it stays below the root."""
    above, _, name = (root + b"/" + path).rpartition(b"/")
    real = os.path.join(os.path.realpath(above), name)
    base = os.path.realpath(root or b"/").rstrip(b"/") + b"/"
    return real[len(base) :] if real.startswith(base) else path


def _names(names: Iterable[str], separator: str = ", ") -> str:
    """At most ten, and how many more there are."""
    listed = sorted(set(names))
    more = f" and {len(listed) - _MOST} more" if separator == ", " else " …"  # in a command
    return separator.join(listed[:_MOST]) + (more if len(listed) > _MOST else "")


def _listed(conflicts: Collection[FileConflict], twice: Collection[tuple[str, str, str]]) -> str:
    """In pacman's own words."""
    words = [f"{path} exists in both '{one}' and '{two}'" for path, one, two in twice]
    words += [
        f"{one.package}: {one.path} exists in filesystem" + (f" (owned by {one.other})" if one.other else "")
        for one in conflicts
    ]
    return "; ".join(words[:_MOST]) + (f" and {len(words) - _MOST} more" if len(words) > _MOST else "")
