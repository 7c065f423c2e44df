"""Which packages of a transaction pacman is told by name, and what brings or removes the others. Pure: no files.

libalpm itself decides three things by how a package comes into a transaction, and this module makes use of each:

- A package that is named becomes explicit; one that only a dependency brings becomes a dependency. An upgrade keeps
  the reason that it has.
- `-u` removes what a package of the repository replaces (`%REPLACES%`), by its name and by nothing that it provides.
- A package that isn't named and replaces one takes the install reason of that one.

It must not know how a repository is written, nor run pacman. Source: libalpm sync.c, check_replacers and
alpm_sync_prepare; deps.c, _alpm_resolvedeps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from apps.fleet.alpm.state import DEPENDENCY, EXPLICIT

from . import dependency
from .local_db import Installed
from .package_file import PackageFile
from .plan import Plan

# What a package that another one pulls in provides besides: nothing else in the world has this name.
HANDLE = "pacsync-transaction:"


@dataclass
class Targets:
    """`names` are told to pacman, with `options`. `pulls` and `replaces` go into the repository's entries, by pkgname.

    `reasons` has those packages that are installed and need another install reason before the transaction. `late` are
    new dependencies that have to be named: a hook makes them dependencies (reasons_hook.py).
    """

    names: list[str]
    options: list[str] = field(default_factory=list)
    pulls: dict[str, list[str]] = field(default_factory=dict)
    replaces: dict[str, list[str]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    late: list[str] = field(default_factory=list)

    @property
    def pulled(self) -> set[str]:
        return {name for names in self.pulls.values() for name in names}


def arrange(steps: Plan, installed: Installed, files: Sequence[PackageFile]) -> Targets:
    """The targets of the transaction that `steps` describes; `files` has the file of each package to install.

    With it, every package has the wanted reason before any hook runs, but for those that are `late`.
    """
    reasons = {package.name: package.reason for package in steps.reasons}
    late = set(new_dependencies(steps, installed))
    named = [file.name for file in files if file.name not in late]
    targets = Targets(named, reasons=reasons)
    removed = [package.name for package in steps.remove]
    if not named:  # nothing but new dependencies
        targets.names, targets.options = [file.name for file in files], ["--asdeps"]
    elif late:
        _bring(targets, late, needs(files), _by_reason(steps, installed))
    if removed:
        targets.options.append("-u")
        taken = {name for names in targets.replaces.values() for name in names}
        rest = [name for name in removed if name not in taken]
        if rest:
            targets.replaces[targets.names[0]] = rest
    return targets


def name_all(targets: Targets, steps: Plan, installed: Installed, files: Sequence[PackageFile]) -> Targets:
    """The same where pacman looks at no dependencies (`-dd`): nothing is pulled in, so every package is named."""
    named = [file.name for file in files]
    late = [] if "--asdeps" in targets.options else new_dependencies(steps, installed)
    return replace(targets, names=named, options=["-dd", *targets.options], late=late)


def new_dependencies(steps: Plan, installed: Installed) -> list[str]:
    """The packages that come as dependencies and aren't there yet."""
    return [one.name for one in steps.install if one.name not in installed and one.reason == DEPENDENCY]


def _by_reason(steps: Plan, installed: Installed) -> list[str]:
    """The packages to remove, dependencies first: their reason is what their successor gets."""
    return sorted((one.name for one in steps.remove), key=lambda name: installed[name].reason == EXPLICIT)


def _bring(targets: Targets, late: set[str], edges: Mapping[str, set[str]], removed: Sequence[str]) -> None:
    """Say what brings each of the new dependencies in `late`, without changing the order of the installation.

    First whatever needs it; then, as the successor of a package that goes; then a package that doesn't need it itself.
    """
    left = dict.fromkeys(sorted(late))
    _follow(targets, targets.names, edges, left)
    while left:
        name = next(iter(left))
        del left[name]
        if removed:
            targets.replaces.setdefault(name, []).append(removed[0])
            targets.reasons[removed[0]] = DEPENDENCY
        else:
            behind = _reached(name, edges, targets.pulls)
            puller = next((one for one in targets.names if one not in behind), None)
            if puller is None:
                targets.names.append(name)
                targets.late.append(name)
            else:
                targets.pulls.setdefault(puller, []).append(name)
        _follow(targets, [name], edges, left)


def _follow(targets: Targets, names: Iterable[str], edges: Mapping[str, set[str]], left: dict[str, None]) -> None:
    """Let each package that comes pull in what it needs of those that are `left`."""
    queue = deque(names)
    while queue:
        name = queue.popleft()
        for needed in sorted(edges.get(name, ())):
            if needed in left:
                del left[needed]
                targets.pulls.setdefault(name, []).append(needed)
                queue.append(needed)


def _reached(name: str, edges: Mapping[str, set[str]], pulls: Mapping[str, Sequence[str]]) -> set[str]:
    """The package, and all that it needs, however far."""
    found, queue = {name}, deque([name])
    while queue:
        current = queue.popleft()
        for needed in (*edges.get(current, ()), *pulls.get(current, ())):
            if needed not in found:
                found.add(needed)
                queue.append(needed)
    return found


def needs(files: Sequence[PackageFile]) -> dict[str, set[str]]:
    """Which of the packages satisfies a dependency of which, by pkgname."""
    by_name = {file.name: file for file in files}
    providers: dict[str, list[tuple[str, str]]] = {}
    for file in files:
        for provision in file.provides:
            providers.setdefault(dependency.parse(provision).name, []).append((file.name, provision))
    edges: dict[str, set[str]] = {}
    for file in files:
        found = set()
        for word in map(dependency.parse, file.depends):
            literal = by_name.get(word.name)
            if literal and word.holds_for(literal.version):
                found.add(literal.name)
            found |= {name for name, provision in providers.get(word.name, ()) if word.provided_by(provision)}
        edges[file.name] = found - {file.name}
    return edges
