"""Known differences between installed files and their packages: kept in the agent's directory, and reported.

It must not know operations or how files are compared.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, Optional

from ..databases import local_db
from ..databases.local_db import Installed, LocalPackage
from ..errors import Failed
from ..pacman.configuration import PacmanConf
from ..system import files
from ..terminal.listing import listed
from ..terminal.printable import printable
from . import installed_files, leftovers
from .installed_files import Finding, Since
from .source_examination import NAMES, Problem

DIFFER, MODES = "files_differ", "modes_differ"
CODES = (DIFFER, MODES)
_KEPT = 20  # paths of one package that are kept
_LISTED = 10
# File systems take the time of a change from a clock that is up to a tick behind.
_TICK = 0.05


def after_transaction(
    conf: PacmanConf, state_dir: Path, names: Collection[str], began: Optional[float]
) -> tuple[str, ...]:
    """Check the files of the packages that a transaction installed; the warnings.

    `began`: when pacman was started, in seconds of the clock; None if unknown. Raises Failed (`files_differ`), OSError.
    """
    installed = local_db.read(conf.dbpath)
    packages = [installed[name] for name in names if name in installed]
    found = installed_files.compare(conf, packages, since=Since(began - _TICK if began else None))
    remember(conf, state_dir, (package.name for package in packages), found)
    differing = [one for one in found if not one.is_mode]
    left = leftovers.look(conf, state_dir)
    if differing or left:
        said = [f"{counted(differing)} not the packages': {listed(differing)}"] if differing else []
        said += [f"pacman didn't remove what old versions had: {listed(left)}"] if left else []
        raise Failed(
            "files_differ",
            f"The packages are as wanted, but {'; '.join(said)}.",
            "Look for what kept pacman from it (a read-only file system, an attribute that `lsattr` shows), "
            "put that right, and run `pacsync-agent sync --repair`.",
        )
    modes = [one for one in found if one.is_mode]
    return (f"permissions differ from the packages': {listed(modes)}",) if modes else ()


def counted(findings: Sequence[Finding]) -> str:
    return "1 file is" if len(findings) == 1 else f"{len(findings)} files are"


def remember(conf: PacmanConf, state_dir: Path, names: Iterable[str], findings: Iterable[Finding]) -> None:
    """Keep the findings of the packages in `names`, instead of the earlier ones. Raises OSError."""
    installed = local_db.read(conf.dbpath)
    known = _current(conf, state_dir, installed)
    for name in names:
        known.pop(name, None)
    by_package: dict[str, list[Finding]] = {}
    for finding in findings:
        by_package.setdefault(finding.package, []).append(finding)
    for name, found in by_package.items():
        differing = [one for one in found if not one.is_mode]
        modes = [one for one in found if one.is_mode]
        known[name] = {
            "entry": _entry_of(conf, installed[name]),
            DIFFER: {"count": len(differing), "some": [str(one) for one in differing[:_KEPT]]},
            MODES: {"count": len(modes), "some": [str(one) for one in modes[:_KEPT]]},
        }
    if known != _load(state_dir):
        files.write_json(_path(state_dir), {"packages": known})


def differing(conf: PacmanConf, state_dir: Path, installed: Installed) -> list[str]:
    """The packages with known differing files, sorted."""
    return sorted(name for name, known in _current(conf, state_dir, installed).items() if known[DIFFER]["count"])


def problems(conf: PacmanConf, state_dir: Path, installed: Installed) -> list[Problem]:
    """The problems for a report, without packages that were reinstalled since."""
    texts = {
        DIFFER: "Files differ from their packages: {}. `pacsync-agent sync --repair` puts them back.",
        MODES: "Permissions differ from their packages: {}. pacman leaves those as they are.",
    }
    known = _current(conf, state_dir, installed)
    for finding in leftovers.known(conf, state_dir):
        nothing = {code: {"count": 0, "some": []} for code in CODES}
        of_package = known.setdefault(finding.package, nothing)[DIFFER]
        of_package["count"] += 1
        of_package["some"].append(str(finding))
    found = []
    for code, text in texts.items():
        names = sorted(name for name, one in known.items() if one[code]["count"])
        if names:
            some = [path for name in names for path in known[name][code]["some"]][:_LISTED]
            rest = sum(known[name][code]["count"] for name in names) - len(some)
            paths = ", ".join(some) + (f" and {rest} more" if rest else "")
            if len(paths) > 800:
                paths = f"{paths[:800]}…"
            said = printable(text.replace("{}", paths))
            found.append({"code": code, "text": said, "names": [printable(name, 255) for name in names[:NAMES]]})
    return found


def among(found: Iterable[Problem]) -> list[Problem]:
    """The problems of a report that come from this module."""
    return [problem for problem in found if problem["code"] in CODES]


def _path(state_dir: Path) -> Path:
    return state_dir / "files.json"


def _load(state_dir: Path) -> dict[str, Any]:
    try:
        return dict((files.read_json(_path(state_dir)) or {}).get("packages", {}))
    except ValueError:
        return {}


def _current(conf: PacmanConf, state_dir: Path, installed: Installed) -> dict[str, Any]:
    found = {}
    for name, known in _load(state_dir).items():
        if name in installed and known["entry"] == _entry_of(conf, installed[name]):
            found[name] = known
    return found


def _entry_of(conf: PacmanConf, package: LocalPackage) -> list[Any]:
    """Identifies one installation of a package: pacman makes a new entry directory each time."""
    try:
        seen = (conf.dbpath / "local" / f"{package.name}-{package.version}").stat()
    except OSError:
        return []
    return [package.version, seen.st_ino, seen.st_mtime_ns]
