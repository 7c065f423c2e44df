"""What pacman is told in a transaction, and which install reason it gives to what. Pure: no files.

pacman makes a package that is named explicit, and lets an upgrade keep the reason that it has. Everything that comes is
named, so that nothing depends on what pacman would bring by itself. It must not know how a repository is written, nor
run pacman. Source: libalpm sync.c, alpm_sync_prepare; add.c, commit_single_pkg.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from apps.fleet.alpm.state import DEPENDENCY

from . import removal_conflicts
from .local_db import Installed
from .package_file import PackageFile
from .plan import Plan


@dataclass
class Targets:
    """`names` are told to pacman, with `options`; the packages `going` conflict with `word` (removal_conflicts.py).

    `reasons` has those packages that are installed and need another install reason before the transaction. `late` are
    new dependencies: a hook makes them dependencies (reasons_hook.py).
    """

    names: list[str]
    options: list[str] = field(default_factory=list)
    going: list[str] = field(default_factory=list)
    word: str = ""
    reasons: dict[str, str] = field(default_factory=dict)
    late: list[str] = field(default_factory=list)


def arrange(steps: Plan, installed: Installed, files: Sequence[PackageFile]) -> Targets:
    """The targets of the transaction that `steps` describes; `files` has the file of each package to install.

    With it, every package has the wanted reason before any hook runs but the one for those that are `late`.
    """
    targets = Targets([file.name for file in files])
    targets.reasons = {package.name: package.reason for package in steps.reasons}
    new = [one.name for one in steps.install if one.name not in installed and one.reason == DEPENDENCY]
    if len(new) == len(files):
        targets.options.append("--asdeps")
    else:
        targets.late = new
    if steps.remove:
        targets.going = [package.name for package in steps.remove]
        targets.word = f"{files[0].name}={files[0].version}"
        targets.options += removal_conflicts.OPTIONS
    return targets
