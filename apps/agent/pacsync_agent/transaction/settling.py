"""What is left to do when pacman is done: conflicts and an old marker to remove, install reasons to set.

Each step may be repeated. It must not know whether pacman succeeded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from apps.fleet.alpm.state import DEPENDENCY, InstalledPackage

from ..databases import entry_repair, local_db
from ..errors import Busy
from ..pacman import transaction_repository
from ..pacman.configuration import PacmanConf
from ..pacman.execution import Run, TransactionProcess
from ..planning import removal_conflicts, removal_marker


def settle(
    conf: PacmanConf, transaction: TransactionProcess, config: Path, wanted: Sequence[InstalledPackage]
) -> list[str]:
    """Do what pacman leaves to do after its transaction; safe to repeat. pacman's errors, if any.

    It removes the transaction repository, conflicts that are still there, and an older agent's marker; then it sets the
    install reasons that are still wrong.
    """
    transaction_repository.remove(conf.dbpath)
    installed = local_db.read(conf.dbpath)
    try:
        remove_conflicts(conf, transaction, installed)
    except Busy as error:
        return [error.message]
    runs = remove_marker(conf, transaction, config, installed)
    for option, names in options_of(_wrong_reasons(installed, wanted)).items():
        runs.append(transaction.run_small(config, "-D", option, *names, dbpath=conf.dbpath))
    return [line for run in runs if run.status != 0 for line in run.errors]


def remove_marker(
    conf: PacmanConf, transaction: TransactionProcess, config: Path, installed: local_db.Installed
) -> list[Run]:
    """Remove the marker if an older agent left it installed."""
    if removal_marker.NAME not in installed:
        return []
    return [transaction.run_small(config, *removal_marker.REMOVAL, dbpath=conf.dbpath)]


def _wrong_reasons(installed: local_db.Installed, wanted: Iterable[InstalledPackage]) -> dict[str, str]:
    """The wanted reason of each package that has another one."""
    return {
        package.name: package.reason
        for package in wanted
        if (present := installed.get(package.name)) and present.reason != package.reason
    }


def options_of(reasons: Mapping[str, str]) -> dict[str, list[str]]:
    """The packages for each option of `pacman -D` that sets these reasons."""
    options: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        options.setdefault("--asdeps" if reason == DEPENDENCY else "--asexplicit", []).append(name)
    return options


def remove_conflicts(conf: PacmanConf, transaction: TransactionProcess, installed: local_db.Installed) -> None:
    """Remove the conflicts from packages that should go and are still there. Raises Busy, OSError."""
    found = removal_conflicts.among(installed)
    if found:
        with entry_repair.locked(conf.dbpath, transaction.own_lock):
            removal_conflicts.remove(conf.dbpath, found)
