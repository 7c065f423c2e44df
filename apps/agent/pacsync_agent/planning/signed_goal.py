"""Whether an operation does exactly what a signed revision says, on this machine. It must not know who signed it.

The server works out what a machine keeps (held, foreign, excluded). Here the machine works it out again, from the
signed text, its own configuration and its own databases, so that nothing can be passed off as kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from apps.fleet.alpm.revision_document import RevisionDocument
from apps.fleet.alpm.state import InstalledPackage

from ..errors import Refused
from ..terminal.listing import named
from . import plan

Packages = Iterable[InstalledPackage]
SaysOfName = Callable[[str], bool]


def check(
    goal: Packages,
    base: Packages,
    document: RevisionDocument,
    *,
    held: Collection[str],
    is_own: SaysOfName,
    is_replaced: SaysOfName,
    managed: Collection[str],
) -> list[str]:
    """Raise Refused (`revision_differs`) where `goal` isn't what the document makes of `base`.

    Else: the names that stay as they are, although the document has nothing about them or leaves them alone.

    `held` are patterns; `is_own` says whether a repository of this machine has the name, `is_replaced` whether one has
    a package that replaces it; `managed` are names that a signed revision had before.
    """
    will, have = _by_name(goal), _by_name(base)
    target = _by_name(one.package for one in document.packages)
    known = {*will, *have, *target}
    kept = {name for name, _ in document.left}
    kept.update(plan.matching(known, held), plan.matching(known, document.excluded))
    removable = {*document.removed, *managed}
    wrong, left = [], []
    for name in sorted(known):
        now, then = have.get(name), will.get(name)
        if name in kept:
            fits = then == now
        elif name in target:
            fits = then == target[name]
        elif now is not None and not is_own(name):
            # Foreign here: it stays, or goes where a signature or a repository of this machine says so.
            fits = then == now or (then is None and (name in removable or is_replaced(name)))
        else:
            fits = then is None
        if not fits:
            wrong.append(name)
        if name in kept or (then == now and name not in target):
            left.append(name)
    if wrong:
        raise differs(wrong)
    return left


def _by_name(packages: Packages) -> dict[str, InstalledPackage]:
    return {package.name: package for package in packages}


def differs(names: Collection[str]) -> Refused:
    """The refusal of an operation that isn't what was signed, with the names of packages."""
    return Refused(
        "revision_differs",
        f"The operation does something else than the signed revision says, with {named(names)}.",
        "Report with `pacsync-agent once` and sync again. If that doesn't help, the server's exclusions or the holds "
        "of this machine have changed since the signature: have the revision signed again.",
    )


def another_revision(number: int) -> Refused:
    """The refusal of an operation for another revision than the signed one."""
    return Refused(
        "revision_differs",
        f"The operation is said to be for another revision than {number}, which is the one that was signed.",
        "Sync again. If it stays so, don't trust the server.",
    )


def check_files(packages: Iterable[Mapping[str, Any]], document: RevisionDocument) -> None:
    """Raise Refused where the claim names another file for a package of the document than that. ValueError: no text."""
    files = {one.package: one.file for one in document.packages}
    wrong = []
    for entry in packages:
        package = InstalledPackage(*(entry[key] for key in ("name", "version", "arch", "reason")))
        if package not in files:  # one that the machine keeps
            continue
        file = files[package]
        signed = (file.repository, file.filename, file.sha256, file.size or None) if file else (None,) * 4
        said = tuple(entry.get(key) or None for key in ("repository", "filename", "sha256", "size"))
        if said != signed:
            wrong.append(package.name)
    if wrong:
        raise differs(wrong)


def check_back(
    goal: Packages,
    base: Packages,
    before: Iterable[tuple[Packages, Collection[str]]],
    *,
    held: Collection[str],
    is_own: SaysOfName,
) -> None:
    """Raise Refused (`revert_unknown`) unless `goal` is the package set from before a sync of this machine.

    `before`: those sets as the machine recorded them itself, each with the names that its sync left alone. What is held
    or foreign now stays as well.
    """
    will, have = _by_name(goal), _by_name(base)
    for packages, left in before:
        once = _by_name(packages)
        known = {*will, *have, *once}
        kept = {*left, *plan.matching(known, held)}
        may_stay = {name for name in known if name in kept or not is_own(name)}
        if all(
            will.get(name) == once.get(name) or (will.get(name) == have.get(name) and name in may_stay)
            for name in known
        ):
            return
    raise Refused(
        "revert_unknown",
        "The server wants to take this machine back to packages that it didn't have before a sync since it trusts "
        "keys.",
        "To go back, make an old revision the target again, and sign that; or change the packages with pacman.",
    )


def refuse_remote_revert() -> Refused:
    """The refusal of a revert that nobody asked for on the machine."""
    return Refused(
        "revert_not_signed",
        "A revert isn't signed, and this machine follows only what a key signed that it trusts.",
        "Run `pacsync-agent revert` on the machine; or make the old revision the target again, and sign that.",
    )
