"""Brings a machine to an exact set of packages: rehearsal on a copy, one pacman transaction, settling, verification.

It must not know servers, operations or journals. Measured traps behind it: docs/agent.md, "How a sync works".
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from apps.fleet.alpm.state import DEPENDENCY, InstalledPackage

from . import database_lock, local_db, marker, pacman, plan, space
from .errors import Busy, Failed, Local, Refused
from .local_db import Installed
from .output import Output, human_bytes
from .package_file import PackageFile
from .pacman import Run, Transaction
from .pacman_conf import PacmanConf
from .plan import Plan

LONGEST_ARGUMENTS = 1_000_000  # bytes; Linux takes 2 MiB in all


@dataclass
class Prepared:
    """A rehearsed way: the arguments for pacman, and the database problems that were there before."""

    plan: Plan
    arguments: list[str]
    problems: set[str]
    warnings: list[str] = field(default_factory=list)


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


def check_unlocked(conf: PacmanConf) -> None:
    """Raise Busy while another pacman is at work, and say what to do about a lock file that is left over."""
    if not database_lock.is_locked(conf.dbpath):
        return
    path = database_lock.path_of(conf.dbpath)
    pid = database_lock.holder(conf.dbpath)
    if pid is not None:
        raise Busy("database_locked", f"Another pacman (process {pid}) is at work.", "Wait for it to finish.")
    raise Busy(
        "database_locked",
        f"{path} is there, but no process holds it: a pacman was cut off.",
        f"Look at the machine with `pacman -Dk`, then remove {path}.",
    )


def check_entries(conf: PacmanConf) -> None:
    """Refuse while the local database has a package twice: which of the two pacman would replace is chance."""
    found = local_db.duplicates(conf.dbpath)
    if found:
        entries = [entry for name in sorted(found) for entry in found[name]]
        raise Refused(
            "duplicated_entries",
            f"The local database has packages twice: {_some(entries, 10)}.",
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

    Raises Refused (`rehearsal_failed`). `directory` holds the copy and the marker; remove it when all is over.
    """
    pacman.copy_database(conf, directory)
    config = pacman.write_config(conf, directory / "pacman.conf", rehearsal_root=directory)
    problems = pacman.database_problems(config)
    arguments = _arguments(directory, steps, installed, files)
    if arguments:
        done = pacman.run(config, *arguments, "--dbonly", "--noscriptlet")
        if done.status != 0 and problems and arguments[0] == "-U":
            # What is broken already may keep pacman from moving at all; the comparison below still sees new damage.
            pacman.copy_database(conf, directory)
            config = pacman.write_config(conf, directory / "pacman.conf", rehearsal_root=directory)
            arguments = _arguments(directory, steps, installed, files)
            arguments.insert(1, "-dd")
            done = pacman.run(config, *arguments, "--dbonly", "--noscriptlet")
        if done.status != 0:
            raise _rehearsal_failed("; ".join(done.errors) or f"pacman ended with status {done.status}")
    _check_outcome(config, directory, wanted, problems)
    return Prepared(steps, arguments, problems)


def _arguments(directory: Path, steps: Plan, installed: Installed, files: Sequence[PackageFile]) -> list[str]:
    if not files:
        names = [package.name for package in steps.remove]
        return ["-R", "--noconfirm", "--noprogressbar", *names] if names else []
    arguments = ["-U", "--noconfirm", "--noprogressbar", *(str(file.path) for file in files)]
    if steps.remove:
        words = plan.marker_conflicts(steps, installed, files)
        arguments += ["--ask", "4", str(marker.build(directory, words))]
    return arguments


def _check_outcome(config: Path, directory: Path, wanted: Sequence[InstalledPackage], problems: set[str]) -> None:
    after = local_db.read(directory / "db")
    after.pop(marker.NAME, None)
    differences = difference(after, wanted, reasons=False)
    if differences:
        raise _rehearsal_failed("it would end with " + _some(differences))
    new = pacman.database_problems(config) - problems
    if new:
        raise _rehearsal_failed("afterwards " + _some(sorted(new)))


def _rehearsal_failed(reason: str) -> Refused:
    return Refused(
        "rehearsal_failed",
        f"A rehearsal on a copy of the package database didn't reach the target: {reason}.",
        "Nothing was changed. Hold or exclude the packages named here, or set a target that fits this machine.",
    )


def _some(texts: Sequence[str], limit: int = 5) -> str:
    more = f" and {len(texts) - limit} more" if len(texts) > limit else ""
    return ", ".join(texts[:limit]) + more


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


def apply(transaction: Transaction, config: Path, prepared: Prepared, output: Output) -> Run:
    """The one transaction. Raises nothing for pacman's own failure: the caller looks at what became of the machine."""
    total = len(prepared.plan.install) + len(prepared.plan.remove)

    def on_output(text: str) -> None:
        begun = pacman.begun(text)
        if begun:
            transaction.keep_log()
        output.progress("applying", min(len(begun), total), total)

    output.progress("applying", 0, total)
    return transaction.run(config, *prepared.arguments, on_output=on_output)


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
    """Remove the marker and set the install reasons; safe to repeat. What pacman said against it, if anything."""
    installed = local_db.read(conf.dbpath)
    runs = remove_marker(conf, transaction, config)
    for option, names in _wrong_reasons(installed, wanted).items():
        if names:
            runs.append(transaction.run_small(config, "-D", option, *names))
    return [line for run in runs if run.status != 0 for line in run.errors]


def remove_marker(conf: PacmanConf, transaction: Transaction, config: Path) -> list[Run]:
    """Remove the marker if it is installed."""
    if marker.NAME not in local_db.read(conf.dbpath):
        return []
    removal = ("-R", "--noconfirm", "--noprogressbar", "--noscriptlet", "--dbonly", marker.NAME)
    return [transaction.run_small(config, *removal)]


def _wrong_reasons(installed: Installed, wanted: Iterable[InstalledPackage]) -> dict[str, list[str]]:
    wrong: dict[str, list[str]] = {"--asdeps": [], "--asexplicit": []}
    for package in wanted:
        present = installed.get(package.name)
        if present and present.reason != package.reason:
            wrong["--asdeps" if package.reason == DEPENDENCY else "--asexplicit"].append(package.name)
    return wrong


def verify(
    conf: PacmanConf, config: Path, wanted: Sequence[InstalledPackage], problems: set[str], touched: Iterable[str]
) -> None:
    """See that the machine is exactly as wanted, with no problem that wasn't there before. Raises Failed."""
    differences = difference(local_db.read(conf.dbpath), wanted, check_broken=touched)
    if differences:
        raise Failed(
            "verification_failed",
            f"After the transaction the machine is not as wanted: {_some(differences)}.",
            "Read what pacman said in the operation's log, put it right, and run `pacsync-agent sync` again.",
        )
    new = pacman.database_problems(config) - problems
    if new:
        raise Failed(
            "database_problems",
            f"The packages are as wanted, but `pacman -Dk` has new complaints: {_some(sorted(new))}.",
            "Look at them with `pacman -Dk`.",
        )


def remove_rehearsal(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)


def needs_root(euid: int) -> None:
    if euid != 0:
        raise Local("not_root", "Only root may change packages.", "Run the command as root (sudo).")
