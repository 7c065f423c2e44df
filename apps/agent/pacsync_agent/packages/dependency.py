"""Dependency words (`libfoo>=1.0`, `libfoo.so=1-64`), compared as libalpm does. It must not know packages.

Source: libalpm deps.c, alpm_dep_from_string, dep_vercmp and _alpm_depcmp_provides.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from apps.fleet.alpm.version import vercmp

# Longest first; everything after ": " is a description.
_WORD = re.compile(r"^(?P<name>[^<>=]+)(?:(?P<mod><=|>=|=|<|>)(?P<version>.*))?$", re.DOTALL)


@dataclass(frozen=True)
class Dependency:
    """`name`, or `name` with a relation (`mod` is one of `= < > <= >=`) to `version`."""

    name: str
    mod: str = ""
    version: str = ""

    def __str__(self) -> str:
        return f"{self.name}{self.mod}{self.version}"

    def holds_for(self, version: str) -> bool:
        """Whether `version` is in the relation (always when there is none)."""
        if not self.mod:
            return True
        order = vercmp(version, self.version)
        return (order == 0 and "=" in self.mod) or (order < 0 and "<" in self.mod) or (order > 0 and ">" in self.mod)


def parse(word: str) -> Dependency:
    """Read a dependency word; like libalpm, it accepts every text."""
    found = _WORD.match(word.partition(": ")[0])
    if found is None:
        return Dependency(word)
    return Dependency(found["name"], found["mod"] or "", found["version"] or "")
