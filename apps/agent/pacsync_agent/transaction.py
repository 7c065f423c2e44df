"""Brings a machine to an exact set of packages: rehearsal on a copy, one pacman transaction, settling, verification.

It must not know servers, operations or journals. Measured traps behind it: docs/agent.md, "How a sync works".
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from apps.fleet.alpm.state import DEPENDENCY, InstalledPackage

from . import (
    local_db,
    marker,
    pacman,
    reasons_hook,
    removal_conflicts,
    repair,
    space,
    transaction_repository,
    transaction_targets,
)
from .errors import Busy, Failed, Local, Refused
from .local_db import Installed
from .output import Output, human_bytes
from .package_file import PackageFile
from .pacman import Run, Transaction
from .pacman_conf import PacmanConf
from .plan import Plan
from .rehearsal_refusal import RehearsalFailed, some
from .running_hook import HookWatch

_REHEARSING = "in the rehearsal"
LONGEST_ARGUMENTS = 1_000_000  # bytes; Linux takes 2 MiB in all


@dataclass
class Prepared:
    """A rehearsed way: the arguments for pacman, and the database problems that were there before.

    `repository` is the directory of the generated one, None where no package is installed. Before pacman starts, the
    packages `going` are made to conflict with `word` (removal_conflicts.py), and `reasons` are set.
    """

    plan: Plan
    arguments: list[str]
    problems: set[str]
    repository: Optional[Path] = None
    going: list[str] = field(default_factory=list)
    word: str = ""
    reasons: dict[str, str] = field(default_factory=dict)


def check_space(conf: PacmanConf, files: Iterable[PackageFile], installed: Installed) -> None:
    """Refuse what would fill the disk. pacman's own CheckSpace, where it is on, is finer; this one comes earlier."""
    before = {name: package.size for name, package in installed.items()}
    growth = sum(max(0, file.installed_size - before.get(file.name, 0)) for file in files)
    free = max(space.free(conf.root), space.free(conf.root / "usr"))
    if growth > free:
        raise Refused(
            "disk_full",
            f"The packages need {human_bytes(growth)} more, and {conf.root} has {human_bytes(free)} left.",
            "Free some space and try again.",
        )


def check_entries(conf: PacmanConf) -> None:
    """Refuse while the local database has a package twice: which of the two pacman would replace is chance."""
    found = local_db.duplicates(conf.dbpath)
    if found:
        entries = [entry for name in sorted(found) for entry in found[name]]
        raise Refused(
            "duplicated_entries",
            f"The local database has packages twice: {some(entries, 10)}.",
            f"Move the directory of the version that isn't on the disk out of {conf.dbpath / 'local'}, and try again.",
        )


def rehearse(
    conf: PacmanConf,
    directory: Path,
    *,
    installed: Installed,
    wanted: Sequence[InstalledPackage],
    steps: Plan,
    files: Sequence[PackageFile],
) -> Prepared:
    """Do it on a copy of the database, and see that exactly the wanted set comes out, with no new problem.

    Raises Refused (`rehearsal_failed`), Failed (`pacman_killed`). `directory` holds the copy and the generated
    repository; remove it when all is over.
    """
    prepared = _prepare(conf, directory, steps, installed, files)
    config = directory / "pacman.conf"
    prepared.problems = pacman.database_problems(config)
    if prepared.arguments:
        done = _rehearse(config, prepared)
        if done.status != 0 and prepared.problems and files:
            # What is broken already may keep pacman from moving at all; the comparison below still sees new damage.
            problems = prepared.problems
            prepared = _prepare(conf, directory, steps, installed, files, regardless=True)
            prepared.problems = problems
            done = _rehearse(config, prepared)
        if done.status != 0:
            crashed = done.status > 128
            raise RehearsalFailed(done.errors or [f"pacman ended with status {done.status}"], done.output, crashed)
    try:
        _check_outcome(config, directory, wanted, prepared.problems)
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

    `regardless` of dependencies.
    """
    pacman.copy_database(conf, directory)
    options = ["--noconfirm", "--noprogressbar"]
    if not files:
        pacman.write_config(conf, directory / "pacman.conf", rehearsal_root=directory)
        names = [package.name for package in steps.remove]
        reasons = {package.name: package.reason for package in steps.reasons} if names else {}
        return Prepared(steps, ["-R", *options, *names] if names else [], set(), reasons=reasons)
    targets = transaction_targets.arrange(steps, installed, files)
    if regardless:
        targets.options.append("-dd")
    if targets.late and reasons_hook.is_possible(conf.root, conf.dbpath):
        reasons_hook.write(transaction_repository.hooks_of(directory), targets.late, conf.root, conf.dbpath)
    database = transaction_repository.write(directory, files)
    transaction_repository.publish(database, directory / "db")
    removal_conflicts.remove(directory / "db", removal_conflicts.among(installed))  # of a transaction that was cut off
    removal_conflicts.add(directory / "db", [installed[name] for name in targets.going], targets.word)
    pacman.write_config(conf, directory / "pacman.conf", rehearsal_root=directory, repository=directory)
    arguments = ["-S", *options, *targets.options, *targets.names]
    return Prepared(
        steps,
        arguments,
        set(),
        repository=directory,
        going=targets.going,
        word=targets.word,
        reasons=targets.reasons,
    )


def _rehearse(config: Path, prepared: Prepared) -> Run:
    for option, names in _options_of(prepared.reasons).items():
        pacman.run(config, "-D", option, *names, doing=_REHEARSING)
    return pacman.run(config, *prepared.arguments, "--dbonly", "--noscriptlet", doing=_REHEARSING)


def _check_outcome(config: Path, directory: Path, wanted: Sequence[InstalledPackage], problems: set[str]) -> None:
    after = local_db.read(directory / "db")
    after.pop(marker.NAME, None)  # left by an older agent
    differences = difference(after, wanted, reasons=False)
    if differences:
        raise RehearsalFailed([f"it would end with {some(differences)}"])
    new = pacman.database_problems(config) - problems
    if new:
        raise RehearsalFailed(sorted(new))


def difference(
    installed: Installed, wanted: Iterable[InstalledPackage], *, reasons: bool = True, check_broken: Iterable[str] = ()
) -> list[str]:
    """How what is installed differs from what is wanted, one phrase for each package; empty when it doesn't."""
    check_broken = set(check_broken)
    texts = []
    names = set()
    for package in wanted:
        names.add(package.name)
        present = installed.get(package.name)
        if present is None:
            texts.append(f"no {package.name}")
        elif (present.version, present.arch) != (package.version, package.arch):
            texts.append(
                f"{package.name} {present.version} ({present.arch}) instead of {package.version} ({package.arch})"
            )
        elif present.broken and package.name in check_broken:
            texts.append(f"a damaged database entry of {package.name}")
        elif reasons and present.reason != package.reason:
            texts.append(f"{package.name} as {present.reason} instead of {package.reason}")
    return texts + [f"{name} still installed" for name in installed if name not in names]


def apply(transaction: Transaction, conf: PacmanConf, config: Path, prepared: Prepared, output: Output) -> Run:
    """Say what goes, set the reasons of what is installed, then the one transaction.

    Raises nothing for pacman's own failure: the caller looks at what became of the machine. Raises Busy and OSError
    before anything was changed.
    """
    installed = local_db.read(conf.dbpath)
    remove_conflicts(conf, transaction, installed)  # of one that was cut off
    if prepared.going:
        with repair.locked(conf.dbpath, transaction.own_lock):
            removal_conflicts.add(conf.dbpath, [installed[name] for name in prepared.going], prepared.word)
    run = _apply(transaction, conf, config, prepared, output)
    if prepared.going:
        with contextlib.suppress(Busy, Local, OSError):  # `settle` sees to it
            remove_conflicts(conf, transaction, local_db.read(conf.dbpath))
    return run


def remove_conflicts(conf: PacmanConf, transaction: Transaction, installed: Installed) -> None:
    """Take back what was said of packages that should go and are still there. Raises Busy, OSError."""
    found = removal_conflicts.among(installed)
    if found:
        with repair.locked(conf.dbpath, transaction.own_lock):
            removal_conflicts.remove(conf.dbpath, found)


def _apply(transaction: Transaction, conf: PacmanConf, config: Path, prepared: Prepared, output: Output) -> Run:
    for option, names in _options_of(prepared.reasons).items():
        done = transaction.run_small(config, "-D", option, *names, dbpath=conf.dbpath)
        if done.status != 0:
            return done
    if prepared.repository:
        transaction_repository.publish(transaction_repository.database_in(prepared.repository), conf.dbpath)
    watch = HookWatch(conf, lambda hook: output.line(f"pacman's hook {hook.running()}."))
    total = len(prepared.plan.install) + len(prepared.plan.remove)

    def on_output(text: str) -> None:
        watch.look(text)
        begun = pacman.begun(text)
        if begun:
            transaction.keep_log()
        output.progress("applying", min(len(begun), total), total, package=begun[-1] if begun else "")

    output.progress("applying", 0, total)
    run = transaction.run(config, *prepared.arguments, dbpath=conf.dbpath, on_output=on_output)
    transaction_repository.remove(conf.dbpath)
    return run


def overwrite_own_files(run: Run, begun: Iterable[str], root: Path) -> list[str]:
    """`--overwrite` options when pacman only stumbled over files of packages that a cut-off run had begun to install.

    Files in the way of any other package are somebody's own: they are never overwritten.
    """
    found = re.findall(r"^(\S+): (/.*) exists in filesystem( \(owned by .*\))?$", run.output, re.MULTILINE)
    own = set(begun)
    if not found or any(owner or name not in own for name, _, owner in found):
        return []
    prefix = f"{str(root).rstrip('/')}/"
    options = pacman.quote_overwrite(path[len(prefix) :] for _, path, _ in found if path.startswith(prefix))
    return options if sum(map(len, options)) < LONGEST_ARGUMENTS else ["--overwrite", "*"]


def settle(conf: PacmanConf, transaction: Transaction, config: Path, wanted: Sequence[InstalledPackage]) -> list[str]:
    """Set the install reasons that are still wrong; safe to repeat. What pacman said against it, if anything."""
    transaction_repository.remove(conf.dbpath)
    installed = local_db.read(conf.dbpath)
    try:
        remove_conflicts(conf, transaction, installed)
    except Busy as error:
        return [error.message]
    runs = remove_marker(conf, transaction, config)
    for option, names in _options_of(_wrong_reasons(installed, wanted)).items():
        runs.append(transaction.run_small(config, "-D", option, *names, dbpath=conf.dbpath))
    return [line for run in runs if run.status != 0 for line in run.errors]


def remove_marker(conf: PacmanConf, transaction: Transaction, config: Path) -> list[Run]:
    """Remove the marker if an older agent left it installed."""
    if marker.NAME not in local_db.read(conf.dbpath):
        return []
    return [transaction.run_small(config, *marker.REMOVAL, dbpath=conf.dbpath)]


def _wrong_reasons(installed: Installed, wanted: Iterable[InstalledPackage]) -> dict[str, str]:
    """The wanted reason of each package that has another one."""
    return {
        package.name: package.reason
        for package in wanted
        if (present := installed.get(package.name)) and present.reason != package.reason
    }


def _options_of(reasons: Mapping[str, str]) -> dict[str, list[str]]:
    """The packages for each option of `pacman -D` that sets these reasons."""
    options: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        options.setdefault("--asdeps" if reason == DEPENDENCY else "--asexplicit", []).append(name)
    return options


def verify(
    conf: PacmanConf, config: Path, wanted: Sequence[InstalledPackage], problems: set[str], touched: Iterable[str]
) -> None:
    """See that the machine is exactly as wanted, with no problem that wasn't there before. Raises Failed."""
    differences = difference(local_db.read(conf.dbpath), wanted, check_broken=touched)
    if differences:
        raise Failed(
            "verification_failed",
            f"After the transaction the machine is not as wanted: {some(differences)}.",
            "Read what pacman said in the operation's log, put it right, and run `pacsync-agent sync` again.",
        )
    new = pacman.database_problems(config) - problems
    if new:
        raise Failed(
            "database_problems",
            f"The packages are as wanted, but `pacman -Dk` has new complaints: {some(sorted(new))}.",
            "Look at them with `pacman -Dk`.",
        )


def remove_rehearsal(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)


def needs_root(euid: int) -> None:
    if euid != 0:
        raise Local("not_root", "Only root may change packages.", "Run the command as root (sudo).")
