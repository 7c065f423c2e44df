"""Newer keyrings come first: two transactions where a plan has one, both of them rehearsed before the first begins.

A package may be signed with a key that only the newer keyring knows, or with one that it has revoked. So the keyring is
verified with the keyring that is here, and everything else with the newer one. It must not know operations.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Optional

from apps.fleet.alpm.state import InstalledPackage
from apps.fleet.alpm.version import vercmp

from ..databases import local_files
from ..databases.local_db import Installed
from ..errors import Refused
from ..packages.package_file import PackageFile
from ..planning import plan
from ..planning.plan import Plan
from ..planning.rehearsal_refusal import RehearsalFailed
from ..terminal.listing import named_and
from ..trust import keyring_copy
from .machine import Machine, Packages, Trial
from .rehearsal import Prepared

# The usual name of a keyring's package. It counts for packages that aren't installed: what those contain is only known
# when they are here.
_SUFFIX = "-keyring"
_OWN_FILE = re.compile(rb"^" + re.escape(keyring_copy.DIRECTORY.encode()) + rb"[^/\n]+\.gpg$", re.MULTILINE)


@dataclass
class Staged:
    """A rehearsed way: `prepared` leads to `goal`; `then` is the goal of the transaction that follows, if one does."""

    prepared: Prepared
    goal: Packages
    then: Optional[Packages] = None


def prepare(
    machine: Machine,
    goal: Packages,
    *,
    held: Collection[str],
    ignored_groups: Collection[str] = (),
    gathered: Callable[[], None] = lambda: None,
    permit: Callable[[Installed, Plan, Sequence[PackageFile]], None] = lambda *_: None,
) -> Staged:
    """Gather the files and rehearse everything, as `Machine.prepare` does; it raises what that raises.

    Where the keyring can't be installed by itself, because it needs another package of the goal, there is only one
    transaction, verified with the keyring that is here.
    """

    def rehearsed(wanted: Packages, after: Optional[Trial] = None) -> Prepared:
        return machine.prepare(
            wanted, held=held, ignored_groups=ignored_groups, gathered=gathered, permit=permit, after=after
        )

    installed = machine.installed()
    steps = plan.make(installed, goal)
    plan.check_permitted(steps, protected=machine.conf.hold, held=held)
    keyrings = _keyrings(machine, installed, steps)
    if not keyrings or steps.touched == {file.name for file in keyrings}:
        return Staged(rehearsed(goal), goal)
    names = named_and([f"{file.name} {file.version}" for file in keyrings])
    first = _with(installed, goal, {file.name for file in keyrings})
    try:
        prepared = rehearsed(first)
    except RehearsalFailed as error:
        machine.output.warn(f"{names} can't be installed before the other packages: {error.message}")
        return Staged(rehearsed(goal), goal)
    machine.output.line(f"The keyring comes first: {names}.")
    with keyring_copy.populated(machine.conf.gpgdir, [file.path for file in keyrings]) as gpgdir:
        rehearsed(goal, Trial(prepared.after, gpgdir))
    return Staged(prepared, first, goal)


def _keyrings(machine: Machine, installed: Installed, steps: Plan) -> list[PackageFile]:
    """The files of the newer keyrings in the plan: those that own such files now, and new ones named so."""
    newer, new = [], []
    for package in steps.install:
        present = installed.get(package.name)
        if present is None:
            new += [package] if package.name.endswith(_SUFFIX) else []
        elif vercmp(package.version, present.version) > 0 and _has_keys(machine, f"{present.name}-{present.version}"):
            newer.append(package)
    found = machine.gather(newer) if newer else []
    for package in new:
        with contextlib.suppress(Refused):  # it may be no keyring; if it is one, it is refused with the others
            found += machine.gather([package])
    return [file for file in found if keyring_copy.is_keyring(file.path)]


def _has_keys(machine: Machine, entry: str) -> bool:
    return bool(_OWN_FILE.search(b"\n".join(local_files.of(machine.conf.dbpath, entry))))


def _with(installed: Installed, goal: Packages, names: Collection[str]) -> list[InstalledPackage]:
    """What is installed, with these packages as the goal has them."""
    found = {name: package.as_installed() for name, package in installed.items()}
    found.update({package.name: package for package in goal if package.name in names})
    return list(found.values())
