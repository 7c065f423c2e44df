"""Tries a transaction on a copy of the package database, and sees that exactly the wanted set comes out.

It must not change the machine or know servers, operations or journals. Measured traps behind it: docs/agent.md,
"How a sync works".
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from apps.fleet.alpm.state import InstalledPackage

from ..databases import local_db
from ..databases.local_db import Installed
from ..packages.package_file import PackageFile
from ..pacman import database_copy, execution, transaction_repository
from ..pacman.configuration import PacmanConf
from ..pacman.execution import Run
from ..planning import reasons_hook, removal_conflicts, removal_marker, transaction_targets
from ..planning.plan import Plan
from ..planning.rehearsal_refusal import SHOWN, RehearsalFailed
from ..terminal.listing import listed
from .package_differences import difference
from .settling import options_of

_REHEARSING = "in the rehearsal"
SECOND = "second"
"""The directory of a second rehearsal, within that of the first, which it continues."""


@dataclass
class Prepared:
    """A rehearsed transaction: the arguments for pacman, and the database problems from before.

    `after` is the database as it is afterwards, with its `local` directory. `repository` is the generated repository's
    directory, None if no package is installed. Before pacman starts, the packages in `going` get a conflict with `word`
    (removal_conflicts.py), and the install `reasons` are set.
    """

    plan: Plan
    arguments: list[str]
    problems: set[str]
    after: Path
    repository: Optional[Path] = None
    going: list[str] = field(default_factory=list)
    word: str = ""
    reasons: dict[str, str] = field(default_factory=dict)


def rehearse(
    conf: PacmanConf,
    directory: Path,
    *,
    installed: Installed,
    wanted: Sequence[InstalledPackage],
    steps: Plan,
    files: Sequence[PackageFile],
    known: Optional[set[str]] = None,
) -> Prepared:
    """Try it on a copy of the database; check that exactly the wanted set comes out, without new problems.

    `known` are the problems of the database as it is, from an earlier check. Nothing is refused by those alone: then
    pacman checks again. `directory` gets the generated repository and, if there is no room in memory, the copy; remove
    it at the end. Raises Refused (`rehearsal_failed`), Failed (`pacman_killed`).
    """
    if known is not None:
        with contextlib.suppress(RehearsalFailed):
            return _tried(conf, directory, installed, wanted, steps, files, known)
    return _tried(conf, directory, installed, wanted, steps, files)


def _tried(
    conf: PacmanConf,
    directory: Path,
    installed: Installed,
    wanted: Sequence[InstalledPackage],
    steps: Plan,
    files: Sequence[PackageFile],
    known: Optional[set[str]] = None,
) -> Prepared:
    prepared = _prepare(conf, directory, steps, installed, files)
    config = directory / "pacman.conf"
    prepared.problems = execution.database_problems(config) if known is None else known
    if prepared.arguments:
        done = _rehearse(config, prepared)
        if done.status != 0 and prepared.problems and files:
            # Old problems may keep pacman from doing anything; the comparison below still finds new ones.
            problems = prepared.problems
            prepared = _prepare(conf, directory, steps, installed, files, regardless=True)
            prepared.problems = problems
            done = _rehearse(config, prepared)
        if done.status != 0:
            crashed = done.status > 128
            raise RehearsalFailed(done.errors or [f"pacman ended with status {done.status}"], done.output, crashed)
    try:
        _check_outcome(config, prepared, wanted)
    except RehearsalFailed as error:
        error.log = done.output if prepared.arguments else ""
        raise
    return prepared


def _prepare(
    conf: PacmanConf,
    directory: Path,
    steps: Plan,
    installed: Installed,
    files: Sequence[PackageFile],
    *,
    regardless: bool = False,
) -> Prepared:
    """A fresh copy of the database in `directory`, with the repository and the arguments for this plan.

    `regardless`: ignore dependencies.
    """
    copy = database_copy.make(conf.dbpath, directory)
    database = copy / "db"
    options = ["--noconfirm", "--noprogressbar"]
    if not files:
        execution.write_config(conf, directory / "pacman.conf", rehearsal_root=copy)
        names = [package.name for package in steps.remove]
        reasons = {package.name: package.reason for package in steps.reasons} if names else {}
        return Prepared(steps, ["-R", *options, *names] if names else [], set(), database, reasons=reasons)
    targets = transaction_targets.arrange(steps, installed, files)
    if regardless:
        targets.options.append("-dd")
    if targets.late and reasons_hook.is_possible(conf.root, conf.dbpath):
        reasons_hook.write(transaction_repository.hooks_of(directory), targets.late, conf.root, conf.dbpath)
    transaction_repository.publish(transaction_repository.write(directory, files), database)
    removal_conflicts.remove(database, removal_conflicts.among(installed))  # of a transaction that was cut off
    removal_conflicts.add(database, [installed[name] for name in targets.going], targets.word)
    execution.write_config(conf, directory / "pacman.conf", rehearsal_root=copy, repository=directory)
    arguments = ["-S", *options, *targets.options, *targets.names]
    return Prepared(
        steps,
        arguments,
        set(),
        database,
        repository=directory,
        going=targets.going,
        word=targets.word,
        reasons=targets.reasons,
    )


def _rehearse(config: Path, prepared: Prepared) -> Run:
    for option, names in options_of(prepared.reasons).items():
        execution.run(config, "-D", option, *names, doing=_REHEARSING)
    return execution.run(config, *prepared.arguments, "--dbonly", "--noscriptlet", doing=_REHEARSING)


def _check_outcome(config: Path, prepared: Prepared, wanted: Sequence[InstalledPackage]) -> None:
    after = local_db.read(prepared.after)
    after.pop(removal_marker.NAME, None)  # left by an older agent
    differences = difference(after, wanted, reasons=False)
    if differences:
        raise RehearsalFailed([f"it would end with {listed(differences, most=SHOWN)}"])
    new = execution.database_problems(config) - prepared.problems
    if new:
        raise RehearsalFailed(sorted(new))


def remove_rehearsal(directory: Path) -> None:
    database_copy.remove(directory / SECOND)
    database_copy.remove(directory)
