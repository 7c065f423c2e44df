"""Which installed packages this machine can't do without, and whether a plan removes one. It must not run anything.

No removal is: an upgrade, the removal of one of several alternatives, the replacement by another one. The machine's own
configuration says what is protected (docs/adr/0031); the server only gets a report.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apps.fleet.alpm import desc

from ..databases import local_files
from ..databases.local_db import Installed, LocalPackage
from ..errors import Refused
from ..packages import dependency, package_paths
from ..packages.package_file import PackageFile
from ..planning import plan
from ..terminal.listing import named
from . import in_use
from .roles import BY_CODE, ROLES, Role

DEFAULT = "default"
CONFIGURED = "configured"
CONFIGURED_WORDS = "the machine's configuration protects it"
# pacman, and all that it needs, without being a role.
_BASE = ("filesystem", "glibc", "bash")


@dataclass(frozen=True)
class Protected:
    """`names` lists installed packages, `why` is a clause. `alternatives`: one of them is enough, else each is needed.

    A new package named in `instead` can replace them; so can, if `by_files`, one whose files show that it fills the
    role. Nothing can where enabled units decide.
    """

    role: str
    why: str
    names: tuple[str, ...]
    alternatives: bool
    instead: tuple[str, ...] = ()
    by_files: bool = False

    def as_json(self) -> dict[str, Any]:
        """As in a check-in."""
        return {
            "role": self.role,
            "why": self.why,
            "names": list(self.names[:100]),
            "needs": "one" if self.alternatives else "each",
            "instead": list(self.instead),
        }


@dataclass(frozen=True)
class Removal:
    """A protected package that a plan removes, and why it is protected."""

    name: str
    why: str


def find(installed: Installed, root: Path, words: Collection[str], owners: dict[str, list[str]]) -> list[Protected]:
    """The protected packages, by role. `words`: the setting `protect`; `owners`: from `owners_by_files`."""
    codes = [role.code for role in ROLES if role.code in words or DEFAULT in words]
    found = [one for code in codes for one in _of_role(BY_CODE[code], installed, root, owners.get(code, []))]
    patterns = [word for word in words if not is_role(word)]
    names = tuple(sorted(plan.matching(installed, patterns)))
    return [*found, *([Protected(CONFIGURED, CONFIGURED_WORDS, names, alternatives=False)] if names else [])]


def is_role(word: str) -> bool:
    """Whether a word of the setting `protect` is one or all of the roles; else it is a pattern of pkgnames."""
    return word == DEFAULT or word in BY_CODE


def _of_role(role: Role, installed: Installed, root: Path, owners: Collection[str]) -> list[Protected]:
    """The packages that fill the role: by name, by what they provide, and by their files."""
    known = {name: in_use.known_as(package, role) for name, package in installed.items()}
    filling = {name: names for name, names in known.items() if names or name in owners}
    enabled = in_use.enabled(root, role, filling)
    found = []
    for group in [[name] for name in sorted(enabled)] if role.each_enabled else [sorted(enabled)] * bool(enabled):
        instead = tuple(sorted({word for name in group for word in filling[name] if word not in installed}))
        why, alternatives = role.each_enabled or role.words, role.alternatives and not role.each_enabled
        found.append(Protected(role.code, why, tuple(group), alternatives, instead))
    if enabled and not in_use.do_a_part(root, role, enabled, filling):
        return found
    instead = tuple(name for name in role.names if name not in installed and name not in role.only_in_use)
    left = {name: names for name, names in filling.items() if name not in enabled}
    for names in in_use.possible(root, role, left):
        found.append(Protected(role.code, role.words, tuple(sorted(names)), role.alternatives, instead, by_files=True))
    return found


def owners_by_files(dbpath: Path, root: Path) -> dict[str, list[str]]:
    """The packages whose files show that they fill a role, by the role's code. Reads all lists of files."""
    own = _own_paths() if root == Path("/") else {}
    found: dict[str, list[str]] = {}
    for name, paths in local_files.lists(dbpath):
        for role in ROLES:
            if own.get(role.code) in paths or fills(role, paths):
                found.setdefault(role.code, []).append(name)
    return found


def fills(role: Role, paths: Iterable[bytes]) -> bool:
    """Whether a package with these paths fills the role. The words are searched first: there are 400,000 paths."""
    paths = list(paths)
    text = b"\n".join(paths)
    return any(word in text for word in role.marks) and any(map(role.files.search, paths))


def _own_paths() -> dict[str, bytes]:
    """Where this very agent and its interpreter are, relative to the root."""
    agent = next((path for path in Path(__file__).parents if path.is_file()), Path(__file__))  # a zip is a file
    paths = {"agent": agent, "interpreter": Path(sys.executable or "/usr/bin/python3")}
    return {code: os.fsencode(os.path.realpath(path)).lstrip(b"/") for code, path in paths.items()}


def removals(protected: Iterable[Protected], removed: Collection[str], new: Sequence[PackageFile]) -> list[Removal]:
    """The protected packages that a plan removes. `new` lists the files of the packages that it newly installs."""
    found = []
    for one in protected:
        gone = [name for name in one.names if name in removed]
        if not gone or (one.alternatives and len(gone) < len(one.names)):
            continue
        if one.alternatives:
            gone = [] if any(_replaces(file, one, gone) for file in new) else gone
        else:
            gone = [name for name in gone if not any(_replaces(file, one, [name]) for file in new)]
        found += [Removal(name, one.why) for name in gone]
    return found


def _replaces(file: PackageFile, one: Protected, gone: Collection[str]) -> bool:
    """Whether a new package replaces those that go: by its name, by what it provides, or by its files."""
    names = {file.name, *(dependency.parse(word).name for word in file.provides)}
    if not names.isdisjoint({*gone, *one.instead}):
        return True
    role = BY_CODE.get(one.role)
    if role is None or not one.by_files:
        return False
    return fills(role, package_paths.of(file.path))


def check(found: Collection[Removal], forced: Collection[str]) -> None:
    """Raise Refused unless the machine's own command names each package."""
    refused: dict[str, list[str]] = {}
    for one in found:
        if one.name not in forced:
            refused.setdefault(one.name, []).append(one.why)
    if not refused:
        return
    listed = [f"{name} ({', '.join(dict.fromkeys(why))})" for name, why in sorted(refused.items())]
    names = sorted(refused)
    options = " ".join(f"--force-remove {name}" for name in names[:10])
    raise Refused(
        "protected",
        f"The operation would remove what this machine needs to start, to be reached or to be synced: {named(listed)}.",
        f"Exclude {named(names)} in the pool, or set a target that has {'it' if len(names) == 1 else 'them'}. If the "
        f"removal is meant, run the command on this machine with {options}.",
    )


def essential(dbpath: Path, installed: Installed, owners: dict[str, list[str]]) -> set[str]:
    """The packages without which neither pacman nor the agent runs: those themselves, and all that they need."""
    roles = [role for role in ROLES if role.recovers]
    left = [name for role in roles for name in (*owners.get(role.code, ()), *role.names)]
    left += [*_BASE, *owners.get("agent", ())]
    by_provision = {
        dependency.parse(word).name: package.name for package in installed.values() for word in package.provides
    }
    found: set[str] = set()
    while left:
        word = left.pop()
        name = word if word in installed else by_provision.get(word, "")
        if name in installed and name not in found:
            found.add(name)
            left += _needed_by(dbpath, installed[name])
    return found


def _needed_by(dbpath: Path, package: LocalPackage) -> list[str]:
    try:
        text = (dbpath / "local" / f"{package.name}-{package.version}" / "desc").read_text(errors="replace")
    except OSError:
        return []
    return [dependency.parse(word).name for word in desc.parse(text).get("DEPENDS", ())]
