"""Examines this machine as the source of a target: is its package set sound, and are its foreign packages known?

It must not know what the server does with a problem or change the machine. Each problem is {code, text, names}. The
text is sent to the server, so it quotes no message of this machine's system.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Optional

from apps.fleet.alpm import syncdb
from apps.fleet.alpm.repository import OfferedPackage
from apps.fleet.alpm.version import vercmp

from ..context import Context
from ..databases import local_db, sync_databases
from ..databases.local_db import Installed
from ..errors import Local
from ..pacman import execution
from ..pacman.configuration import PacmanConf
from ..pacman.kept_configuration import NOT_STARTED
from ..planning import plan
from ..system import files
from ..terminal.listing import listed
from ..terminal.printable import printable
from ..trust.accepted_checksums import Accepted

Problem = dict[str, Any]
UNUSABLE = "pacman_unusable"
NAMES = 100  # names sent with a problem; its text has ten
_DEPENDENCY = re.compile(r"missing '(.+)' dependency for '(.+)'")
_CONFLICT = re.compile(r"'(.+)' conflicts with '(.+)'")
_OWNERS = re.compile(r"file owned by '(.+?)' and '(.+?)'")


def examine(
    context: Context, installed: Installed, *, databases: Mapping[str, str], held: Collection[str]
) -> list[Problem]:
    """The problems of the machine as a source, in a fixed order; a sound source has none.

    Needs the `databases` and `unreadable` of the context, from a report. `databases` here are the digests by
    repository, in pacman's order, `held` the patterns of held packages. The slow checks run again only when something
    changed.
    """
    problems = [*_unreadable(context.unreadable), *_broken(installed, context.conf.dbpath)]
    if context.conf.unusable:
        return [_unusable(context.conf.unusable), *problems]
    local = _local_key(context.conf, installed)
    key = hashlib.sha256(repr((local, list(databases.items()), sorted(held))).encode()).hexdigest()
    known = _load(context.state_dir)
    if known.get("key") != key:
        try:
            said, found = _compared(context, installed, databases, held)
            known = {"key": key, "problems": found, "local": local, "said": said}
        except Local as error:
            if error.code not in NOT_STARTED:
                raise
            return [_unusable(error), *problems]
        files.keep_json(_path(context.state_dir), known)
    return [*problems, *known["problems"]]


def database_problems(conf: PacmanConf, state_dir: Path, installed: Installed) -> Optional[set[str]]:
    """What `pacman -Dk` said for the last report; None if packages were installed or removed since.

    An entry that was changed by hand since doesn't count, so nobody should be refused by this alone.
    """
    known = _load(state_dir)
    said = known.get("said")
    return set(said) if isinstance(said, list) and known.get("local") == _local_key(conf, installed) else None


def _path(state_dir: Path) -> Path:
    return state_dir / "examination.json"


def _load(state_dir: Path) -> dict[str, Any]:
    try:
        return files.read_json(_path(state_dir)) or {}
    except ValueError:
        return {}


def _local_key(conf: PacmanConf, installed: Installed) -> str:
    packages = sorted((one.name, one.version, one.broken) for one in installed.values())
    changed = (conf.dbpath / "local").stat().st_mtime_ns
    return hashlib.sha256(repr((packages, changed)).encode()).hexdigest()


def _compared(
    context: Context, installed: Installed, databases: Mapping[str, str], held: Collection[str]
) -> tuple[list[str], list[Problem]]:
    """The slow checks: what `pacman -Dk` says, and the problems by that and by the machine's own databases."""
    packages = _packages(context, databases)
    offered: dict[str, str] = {}  # the version of each pkgname that pacman would take
    for package in packages:
        offered.setdefault(package.name, package.version)
    _remember(context, installed, packages)
    config = execution.write_config(context.conf, context.state_dir / "pacman.conf")
    said = sorted(execution.database_problems(config))
    return said, [*_inconsistent(said, offered), *_versions(installed, offered, held)]


def _packages(context: Context, databases: Iterable[str]) -> list[OfferedPackage]:
    """What the databases offer, in pacman's order."""
    found: list[OfferedPackage] = []
    for name in databases:
        private = context.databases.get(name)
        try:
            found += syncdb.read(private) if private else sync_databases.read(context, name)
        except (OSError, ValueError):
            continue
    return found


def _remember(context: Context, installed: Installed, packages: Iterable[OfferedPackage]) -> None:
    """Keep the checksums of the installed packages' files: a rebuilt repository won't have them any more."""
    Accepted(context.state_dir).add(
        (package.name, package.version, package.arch, package.sha256)
        for package in packages
        if package.sha256
        and (found := installed.get(package.name))
        and (found.version, found.arch) == (package.version, package.arch)
    )


def _unusable(error: Local) -> Problem:
    return _problem(UNUSABLE, error.message.replace("{", "(").replace("}", ")"), ())


def _unreadable(reasons: Iterable[str]) -> list[Problem]:
    names = sorted(reasons)
    text = (
        "Its databases of these repositories can't be read, nor fetched: {}. Nobody knows which packages are foreign."
    )
    return [_problem("database_unreadable", text, names)] if names else []


def _broken(installed: Installed, dbpath: Path) -> list[Problem]:
    """The problem of entries in the local database that are broken or duplicated."""
    broken = {package.name for package in installed.values() if package.broken}
    names = sorted(broken | set(local_db.duplicates(dbpath)))
    text = "The entries of these packages in its local database are broken, or there twice: {}."
    return [_problem("broken_entries", text, names)] if names else []


def _inconsistent(said: Iterable[str], offered: Collection[str]) -> list[Problem]:
    """The problems that `pacman -Dk` finds; those of packages that the target leaves out matter less."""
    refused: dict[str, None] = {}
    foreign: dict[str, None] = {}
    words: dict[str, None] = {}
    for line in said:
        found, sentence = _complained_of(line)
        if found and all(name in offered for name in found):
            refused.update(dict.fromkeys(found))
            words[sentence] = None
        else:
            foreign.update(dict.fromkeys(found))
    problems = []
    if refused:
        text = f"Its package set isn't consistent: {listed(words)}."
        problems.append(_problem("broken_dependencies", text, refused))
    if foreign:
        text = "Its package set isn't consistent, but only for packages that a target leaves out: {}."
        problems.append(_problem("foreign_dependencies", text, foreign))
    return problems


def _complained_of(line: str) -> tuple[tuple[str, ...], str]:
    """The packages of a complaint (none: it is about an entry), and the complaint without paths."""
    found = _DEPENDENCY.match(line)
    if found:
        return (found.group(2),), found.group()
    found = _CONFLICT.match(line) or _OWNERS.match(line)
    return (found.groups(), found.group()) if found else ((), line)


def _versions(installed: Installed, offered: Mapping[str, str], held: Collection[str]) -> list[Problem]:
    """The problems of packages that are older or newer than in the machine's own databases."""
    older: list[str] = []
    newer: list[str] = []
    held_back: list[str] = []
    kept = set(plan.matching(installed, held))
    for name, package in sorted(installed.items()):
        order = vercmp(package.version, offered[name]) if name in offered and not package.broken else 0
        if order and name in kept:
            held_back.append(name)
        elif order:
            (older if order < 0 else newer).append(name)
    problems = []
    if older and newer:
        text = f"It is half upgraded: some packages are newer than in its own databases ({listed(newer)}), others "
        problems.append(_problem("half_upgraded", f"{text}older ({listed(older)}).", [*newer, *older]))
    elif older:
        text = "These packages are older than in its own databases: {}. Part of an upgrade may be missing."
        problems.append(_problem("upgrades_pending", text, older))
    if held_back:
        text = "These packages are held at another version than its databases have, and are left out: {}."
        problems.append(_problem("held_back", text, held_back))
    return problems


def _problem(code: str, text: str, names: Iterable[str]) -> Problem:
    """A problem; {} in `text` stands for the names."""
    names = [printable(name, 255) for name in names]
    return {"code": code, "text": printable(text.replace("{}", listed(names)), 1000), "names": names[:NAMES]}
