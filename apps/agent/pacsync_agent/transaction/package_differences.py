"""How the installed packages differ from the wanted ones. It must not change anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from apps.fleet.alpm.state import InstalledPackage

from ..databases import local_db
from ..databases.local_db import Installed
from ..errors import Failed
from ..pacman import execution
from ..pacman.configuration import PacmanConf
from ..planning.rehearsal_refusal import SHOWN
from ..terminal.listing import listed


def difference(
    installed: Installed, wanted: Iterable[InstalledPackage], *, reasons: bool = True, check_broken: Iterable[str] = ()
) -> list[str]:
    """One phrase for each package that differs from the wanted ones; empty when none does.

    `check_broken`: the packages whose entry must not be broken."""
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


def verify(
    conf: PacmanConf, config: Path, wanted: Sequence[InstalledPackage], problems: set[str], touched: Iterable[str]
) -> None:
    """Raise Failed unless the packages are exactly the wanted ones, without new database problems."""
    differences = difference(local_db.read(conf.dbpath), wanted, check_broken=touched)
    if differences:
        raise Failed(
            "verification_failed",
            f"After the transaction the machine is not as wanted: {listed(differences, most=SHOWN)}.",
            "Read what pacman said in the operation's log, put it right, and run `pacsync-agent sync` again.",
        )
    new = execution.database_problems(config) - problems
    if new:
        raise Failed(
            "database_problems",
            f"The packages are as wanted, but `pacman -Dk` has new complaints: {listed(sorted(new), most=SHOWN)}.",
            "Look at them with `pacman -Dk`.",
        )
