"""Puts back the files of packages, for `sync --repair`. It must not know how files are compared.

A repair has a journal like any operation, but none on the server: the package set stays as it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Optional

from ..checkin import report
from ..context import Context, only_agent
from ..databases import entry_repair
from ..databases.local_db import LocalPackage
from ..errors import AgentError, Exit, Failed, Refused
from ..examination import leftovers, obstructions
from ..operation import file_repair, next_operation
from ..operation.ending import EndedOperation
from ..packages.package_file import PackageFile
from ..pacman import lock_check
from ..terminal.listing import listed
from ..transaction.machine import Machine
from ..transaction.machine_factory import machine_of
from . import render
from .call import Call
from .file_comparison import compare

_MOST_REASONS = 10


def complete_entries(call: Call) -> dict[str, AgentError]:
    """Complete the database entries that a power cut emptied; why that can't be done, by package. Raises AgentError."""
    with _alone(call) as context:
        return _complete_entries(context)


def repair(call: Call, left: dict[str, AgentError]) -> int:
    """Put back the files of packages that differ; the exit status. Raises AgentError.

    `left`: the packages that can't be repaired, and why; it grows.
    """
    with _alone(call) as context:
        ended = _repair(call, context, left)
    code = render.ended(call.output, "sync", ended) if ended else Exit.OK
    if left:
        call.output.error(_not_repaired(left))
    return code or (Exit.FAILED if left else Exit.OK)


@contextlib.contextmanager
def _alone(call: Call) -> Iterator[Context]:
    """Be the only agent, on a machine where nothing is unfinished. Raises Busy, Local."""
    context = call.context()
    with only_agent(context.state_dir, wait=call.arguments.wait):
        ended = next_operation.resume(context, give_back=True)
        if ended:
            render.ended(call.output, "sync", ended, last=False)
        lock_check.check_unlocked(context.conf)
        yield context


def _complete_entries(context: Context) -> dict[str, AgentError]:
    left: dict[str, AgentError] = {}
    machine = machine_of(context)
    for package in machine.installed().values():
        if package.broken:
            try:
                file = _of_any_arch(context, machine, package)
                entry_repair.complete_entry(context.conf.dbpath, package, file, own=context.transaction.own_lock)
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
    """The error for all packages that were not repaired; each kind gives the reason of its first package."""
    blocked = sorted(name for name, error in left.items() if error.code == "file_conflict")
    stuck = sorted(name for name, error in left.items() if error.code == "not_repaired")
    missing = sorted(left.keys() - {*blocked, *stuck})
    message, hint = [], []
    if missing:
        message.append(f"Not repaired, because their files can't be found: {listed(missing)}.")
        message.append(left[missing[0]].message)
        hint.append(
            "Put the package files into pacman's cache, or name a mirror that has these versions in pacman.conf."
        )
    if blocked:
        message.append(f"Not repaired, because directories are in the way: {listed(blocked)}.")
        message += [left[name].message for name in blocked[:_MOST_REASONS]]
        hint.append(left[blocked[0]].hint)
    if stuck:
        message += [left[name].message for name in stuck[:_MOST_REASONS]]
        hint.append("Look for what keeps those files (an attribute that `lsattr` shows, a read-only file system).")
    return Refused("not_repaired", " ".join(message), " ".join([*hint, "Then run `pacsync-agent sync --repair`."]))


def _repair(call: Call, context: Context, left: dict[str, AgentError]) -> Optional[EndedOperation]:
    """Reinstall the packages that differ; None if there are none.

    Packages that can't be reinstalled are added to `left`.
    """
    machine = machine_of(context)
    installed = machine.installed()
    removed, stuck = leftovers.remove(context.conf, context.state_dir)
    if removed:
        call.output.line(f"Removed what old versions had left: {listed(removed)}.")
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
        kept = listed([one for one in stuck if one.package == name])
        left.setdefault(name, Failed("not_repaired", f"Left by an old version, and can't be removed: {kept}."))
    if not names:
        report.report_now(context)
        if not left:
            call.output.result("All files are as their packages have them.", command="sync", status="unchanged")
        return None
    call.output.line(f"Installing {render.plural(len(names), 'package')} once more: {listed(names)}.")
    return file_repair.repair(context, names)
