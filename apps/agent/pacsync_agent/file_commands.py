"""The commands `verify` and `sync --repair`: are the packages' files theirs? It must not know how files are compared.

A repair has a journal like any operation, but none on the server: the package set stays as it is.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Optional

from . import (
    commands,
    installed_files,
    leftovers,
    local_db,
    lock_check,
    obstructions,
    reinstall,
    render,
    repair,
    report,
    transaction,
    verification,
    work,
)
from .commands import Call, refuse_half_way, refuse_unfinished
from .context import Context, only_agent
from .errors import AgentError, Exit, Failed, Refused
from .installed_files import Finding, Since
from .local_db import LocalPackage
from .machine import Machine
from .make_machine import machine_of
from .package_file import PackageFile
from .result import Ended

_SHOWN = 100  # lines for people; --json has all
_MOST_REASONS = 10


def verify(call: Call) -> int:
    """Compare the files of all packages with the packages, and report what was found."""
    context = call.context()
    transaction.needs_root(os.geteuid())
    with only_agent(context.state_dir, wait=call.arguments.wait):
        refuse_half_way(context)
        refuse_unfinished(context)
        found = compare(context, every=call.arguments.checksums)
        found += leftovers.known(context.conf, context.state_dir)
        problem = _reported(context)
    differing = [one for one in found if not one.is_mode]
    modes = [one for one in found if one.is_mode]
    lines = [f"{one.package}: {one}" for one in (*differing, *modes)]
    more = [f"and {len(lines) - _SHOWN} more (--json has all)"] if len(lines) > _SHOWN else []
    summary = "All files are as their packages have them."
    if found:
        summary = _differ(len(differing), len(modes))
    hints = ["`pacsync-agent sync --repair` puts the files back."] if differing else []
    hints += ["Modes stay as they are; `chmod` sets the one that the package has."] if modes else []
    if problem:
        call.output.warn(f"Not reported yet: {problem.message}")
    call.output.result(
        "\n".join([*lines[:_SHOWN], *more, summary, *hints]),
        command="verify",
        differ=len(differing),
        modes=len(modes),
        findings=[{"package": one.package, "path": _sendable(one.path), "why": one.why} for one in found],
        reported=problem is None,
    )
    return Exit.DIFFERENT if differing else Exit.OK


def _differ(files: int, modes: int) -> str:
    """`2 files differ. The mode of 1 differs.`"""
    said = [] if not files else ["1 file differs." if files == 1 else f"{files} files differ."]
    said += [] if not modes else ["The mode of 1 differs." if modes == 1 else f"The modes of {modes} differ."]
    return " ".join(said)


def _sendable(path: str) -> str:
    return path.encode("utf-8", "backslashreplace").decode()


def _reported(context: Context) -> Optional[AgentError]:
    """Report; why that can't be done now. What was found is kept for the next report."""
    try:
        report.check_in(context)
    except AgentError as error:
        return error
    return None


def compare(context: Context, *, every: bool = False) -> list[Finding]:
    """Compare the files of all packages, and keep what was found. Raises OSError.

    `every`: read every file. Those of packages that are known to differ are read in any case.
    """
    installed = local_db.read(context.conf.dbpath)
    known = set(verification.differing(context.conf, context.state_dir, installed))
    packages = sorted(installed.values(), key=lambda package: (package.name in known, package.name))
    others = packages[: len(packages) - len(known)]

    def progress(done: int) -> None:
        context.output.progress("comparing", done, len(others))

    found = installed_files.compare(context.conf, others, since=Since(every=every), progress=progress)
    found += installed_files.compare(context.conf, packages[len(others) :], since=Since(every=True))
    context.output.finish_line()
    verification.remember(context.conf, context.state_dir, installed, found)
    return found


def sync(call: Call) -> int:
    """Bring this machine to the target of its pool; with --repair also the files of its packages."""
    if not call.arguments.repair:
        return commands.sync(call)
    with _alone(call) as context:
        left = _complete_entries(context)
    done = commands.sync(call, last=False)
    if done not in {Exit.OK, Exit.FAILED}:
        return done
    with _alone(call) as context:
        ended = _repair(call, context, left)
    code = render.ended(call.output, "sync", ended) if ended else Exit.OK
    if left:
        call.output.error(_not_repaired(left))
    return code or (Exit.FAILED if left else done)


@contextlib.contextmanager
def _alone(call: Call) -> Iterator[Context]:
    """Be the one agent on a machine with nothing half done. Raises Busy, Local."""
    context = call.context()
    transaction.needs_root(os.geteuid())
    with only_agent(context.state_dir, wait=call.arguments.wait):
        ended = work.resume(context, give_back=True)
        if ended:
            render.ended(call.output, "sync", ended, last=False)
        lock_check.check_unlocked(context.conf)
        yield context


def _complete_entries(context: Context) -> dict[str, AgentError]:
    """Complete the entries of the database that a power cut emptied; why that can't be done, by name."""
    left: dict[str, AgentError] = {}
    machine = machine_of(context)
    for package in machine.installed().values():
        if package.broken:
            try:
                file = _of_any_arch(context, machine, package)
                repair.complete_entry(context.conf.dbpath, package, file, own=context.transaction.own_lock)
            except Refused as error:
                left[package.name] = error
    return left


def _of_any_arch(context: Context, machine: Machine, package: LocalPackage) -> PackageFile:
    """The package's file; its entry doesn't say for which architecture. Raises Refused."""
    *others, last = [*context.conf.architectures, "any"]
    for arch in others:
        with contextlib.suppress(Refused):
            return machine.gather([package.as_installed()._replace(arch=arch)])[0]
    return machine.gather([package.as_installed()._replace(arch=last)])[0]


def _not_repaired(left: Mapping[str, AgentError]) -> Refused:
    """The one error for all packages that stay as they are; of each kind the reason is that of the first."""
    blocked = sorted(name for name, error in left.items() if error.code == "file_conflict")
    stuck = sorted(name for name, error in left.items() if error.code == "not_repaired")
    missing = sorted(left.keys() - {*blocked, *stuck})
    message, hint = [], []
    if missing:
        message.append(f"Not repaired, because their files can't be had: {render.listed(missing)}.")
        message.append(left[missing[0]].message)
        hint.append(
            "Put the package files into pacman's cache, or name a mirror that has these versions in pacman.conf."
        )
    if blocked:
        message.append(f"Not repaired, because directories are in the way: {render.listed(blocked)}.")
        message += [left[name].message for name in blocked[:_MOST_REASONS]]
        hint.append(left[blocked[0]].hint)
    if stuck:
        message += [left[name].message for name in stuck[:_MOST_REASONS]]
        hint.append("Look for what keeps those files (an attribute that `lsattr` shows, a read-only file system).")
    return Refused("not_repaired", " ".join(message), " ".join([*hint, "Then run `pacsync-agent sync --repair`."]))


def _repair(call: Call, context: Context, left: dict[str, AgentError]) -> Optional[Ended]:
    """Install what differs once more; None when nothing is to be done. What can't be is added to `left`."""
    machine = machine_of(context)
    installed = machine.installed()
    removed, stuck = leftovers.remove(context.conf, context.state_dir)
    if removed:
        call.output.line(f"Removed what old versions had left: {verification.listed(removed)}.")
    files = []
    for name in sorted({one.package for one in compare(context) if not one.is_mode} - set(left)):
        try:
            files += machine.gather([installed[name].as_installed()])
        except Refused as error:
            left[name] = error
    blocked = obstructions.find(context.conf, installed, (), files)
    for name in {one.package for one in blocked}:
        left[name] = obstructions.failure([one for one in blocked if one.package == name], (name,))
    names = [file.name for file in files if file.name not in left]
    for name in {one.package for one in stuck}:
        kept = verification.listed([one for one in stuck if one.package == name])
        left.setdefault(name, Failed("not_repaired", f"Left by an old version, and can't be removed: {kept}."))
    if not names:
        report.tell(context)
        if not left:
            call.output.result("All files are as their packages have them.", command="sync", status="unchanged")
        return None
    call.output.line(f"Installing {render.plural(len(names), 'package')} once more: {render.listed(names)}.")
    return reinstall.repair(context, names)
