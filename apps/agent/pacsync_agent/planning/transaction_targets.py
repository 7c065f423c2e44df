"""The targets and options for pacman in a transaction, and the install reasons they give. Pure: no files.

pacman marks a named new package as explicit; an upgrade keeps its reason. Every package that comes is named, so that
nothing depends on what pacman would add by itself. It must not know how a repository is written or
run pacman. Source: libalpm sync.c, alpm_sync_prepare; add.c, commit_single_pkg.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from apps.fleet.alpm.state import DEPENDENCY

from ..databases.local_db import Installed
from ..packages.package_file import PackageFile
from . import removal_conflicts
from .plan import Plan


@dataclass
class Targets:
    """`names` and `options` are pacman's arguments; packages in `going` conflict with `word` (removal_conflicts.py).

    `reasons` has the installed packages that need another install reason before the transaction. `late` are new
    dependencies that a hook marks as such (reasons_hook.py).
    """

    names: list[str]
    options: list[str] = field(default_factory=list)
    going: list[str] = field(default_factory=list)
    word: str = ""
    reasons: dict[str, str] = field(default_factory=dict)
    late: list[str] = field(default_factory=list)


def arrange(steps: Plan, installed: Installed, files: Sequence[PackageFile]) -> Targets:
    """The targets of the transaction that `steps` describes; `files` has the file of each package to install.

    With these, every package has its reason before any hook runs, except for the hook for the `late` ones.
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
