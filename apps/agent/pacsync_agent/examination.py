"""Examines this machine as the source of a target: is its package set sound, and can it be told what is foreign?

It must not know what the server makes of a problem, nor change the machine. Each problem is {code, text, names}; the
text has no words of this machine's system in it, because it is sent to the server.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from apps.fleet.alpm import syncdb
from apps.fleet.alpm.repository import OfferedPackage
from apps.fleet.alpm.version import vercmp

from . import files, local_db, pacman, plan, sync_databases
from .accepted import Accepted
from .context import Context
from .errors import Local
from .local_db import Installed
from .pacman_conf_kept import NOT_STARTED

Problem = dict[str, Any]
UNUSABLE = "pacman_unusable"
NAMES = 100  # so many are sent with a problem; its text has ten
_DEPENDENCY = re.compile(r"missing '(.+)' dependency for '(.+)'")
_CONFLICT = re.compile(r"'(.+)' conflicts with '(.+)'")
_OWNERS = re.compile(r"file owned by '(.+?)' and '(.+?)'")


def examine(
    context: Context, installed: Installed, *, databases: Mapping[str, str], held: Collection[str]
) -> list[Problem]:
    """The problems of the machine as a source, in a fixed order; none is a sound source.

    Wants a report's `Context.databases` and `Context.unreadable`; `databases` are the digests by repository, in
    pacman's order, `held` the patterns of held packages. What takes long is asked again only when something changed.
    """
    problems = [*_unreadable(context.unreadable), *_broken(installed, context.conf.dbpath)]
    if context.conf.unusable:
        return [_unusable(context.conf.unusable), *problems]
    key = _key(context, installed, databases, held)
    path = context.state_dir / "examination.json"
    try:
        known = files.read_json(path) or {}
    except ValueError:
        known = {}
    if known.get("key") != key:
        try:
            known = {"key": key, "problems": _compared(context, installed, databases, held)}
        except Local as error:
            if error.code not in NOT_STARTED:
                raise
            return [_unusable(error), *problems]
        files.keep_json(path, known)
    return [*problems, *known["problems"]]


def _key(context: Context, installed: Installed, databases: Mapping[str, str], held: Collection[str]) -> str:
    packages = sorted((one.name, one.version, one.broken) for one in installed.values())
    changed = (context.conf.dbpath / "local").stat().st_mtime_ns
    return hashlib.sha256(repr((packages, changed, list(databases.items()), sorted(held))).encode()).hexdigest()


def _compared(
    context: Context, installed: Installed, databases: Mapping[str, str], held: Collection[str]
) -> list[Problem]:
    """What pacman says of the installed packages, and what their own databases do."""
    packages = _packages(context, databases)
    offered: dict[str, str] = {}  # the version of each pkgname that pacman would take
    for package in packages:
        offered.setdefault(package.name, package.version)
    _remember(context, installed, packages)
    config = pacman.write_config(context.conf, context.state_dir / "pacman.conf")
    return [
        *_inconsistent(sorted(pacman.database_problems(config)), offered),
        *_versions(installed, offered, held),
    ]


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
    """Keep what the databases say of the files of what is installed: a rebuilt repository won't know them any more."""
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
    text = "Its databases of these repositories can't be read, nor fetched: {}. What is foreign can't be told."
    return [_problem("database_unreadable", text, names)] if names else []


def _broken(installed: Installed, dbpath: Path) -> list[Problem]:
    """Entries of the local database that pacman was cut off in, or that are there twice."""
    broken = {package.name for package in installed.values() if package.broken}
    names = sorted(broken | set(local_db.duplicates(dbpath)))
    text = "The entries of these packages in its local database are broken, or there twice: {}."
    return [_problem("broken_entries", text, names)] if names else []


def _inconsistent(said: Iterable[str], offered: Collection[str]) -> list[Problem]:
    """The complaints of `pacman -Dk`: those about a package that the target leaves out matter less."""
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
        text = f"Its package set isn't consistent: {_listed(words)}."
        problems.append(_problem("broken_dependencies", text, refused))
    if foreign:
        text = "Its package set isn't consistent, but only for packages that a target leaves out: {}."
        problems.append(_problem("foreign_dependencies", text, foreign))
    return problems


def _complained_of(line: str) -> tuple[tuple[str, ...], str]:
    """The packages that a complaint is about, and the complaint without paths; no packages: it is about an entry."""
    found = _DEPENDENCY.match(line)
    if found:
        return (found.group(2),), found.group()
    found = _CONFLICT.match(line) or _OWNERS.match(line)
    return (found.groups(), found.group()) if found else ((), line)


def _versions(installed: Installed, offered: Mapping[str, str], held: Collection[str]) -> list[Problem]:
    """Packages that are older or newer than in the machine's own databases."""
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
        text = f"It is half upgraded: some packages are newer than in its own databases ({_listed(newer)}), others "
        problems.append(_problem("half_upgraded", f"{text}older ({_listed(older)}).", [*newer, *older]))
    elif older:
        text = "These packages are older than in its own databases: {}. Part of an upgrade may be missing."
        problems.append(_problem("upgrades_pending", text, older))
    if held_back:
        text = "These packages are held at another version than its databases have, and are left out: {}."
        problems.append(_problem("held_back", text, held_back))
    return problems


def _problem(code: str, text: str, names: Iterable[str]) -> Problem:
    """`text` with the names in the place of {}."""
    names = [printable(name)[:255] for name in names]
    return {"code": code, "text": printable(text.replace("{}", _listed(names)))[:1000], "names": names[:NAMES]}


def printable(text: str) -> str:
    """The text as one line that can be sent: what isn't printable is a question mark."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _listed(names: Collection[str]) -> str:
    """At most ten of them."""
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(list(names)[:10]) + more
