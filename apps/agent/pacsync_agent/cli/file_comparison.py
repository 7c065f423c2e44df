"""Compares the files of all packages with the packages, for `verify` and `sync --repair`.

It must not know how files are compared.
"""

from __future__ import annotations

from ..context import Context
from ..databases import local_db
from ..examination import installed_files, verification
from ..examination.installed_files import Finding, Since


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
