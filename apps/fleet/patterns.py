"""Matches package names with shell patterns, as pacman does for IgnorePkg. It must not know whose patterns they are.

A machine may report a thousand patterns, and a state has thousands of names. So plain names are looked up in a set,
and only real patterns are tried one by one, with a look at the time that the request has left.
"""

import re
from collections.abc import Iterable
from fnmatch import translate
from functools import lru_cache

from . import time_limit

_SPECIAL = re.compile(r"[*?[]")
# The patterns in one regular expression: Python compiles slowly, and a compilation can't be interrupted.
_TOGETHER = 20


class Matcher:
    """Says whether a name matches any of `patterns` (case matters)."""

    def __init__(self, patterns: Iterable[str]) -> None:
        given = list(patterns)
        special = [pattern for pattern in given if _SPECIAL.search(pattern)]
        self._plain = frozenset(given).difference(special)
        self._special = [tuple(special[start : start + _TOGETHER]) for start in range(0, len(special), _TOGETHER)]
        self._compiled: list[re.Pattern[str]] = []
        self._known: dict[str, bool] = {}

    def matches(self, name: str) -> bool:
        """Raises ComparisonTooLong."""
        if name in self._plain:
            return True
        if not self._special:
            return False
        found = self._known.get(name)
        if found is None:
            found = self._known[name] = self._tried(name)
        return found

    def _tried(self, name: str) -> bool:
        if not self._compiled:
            self._compiled = [_compiled(group) for group in self._special]
        for expression in self._compiled:
            if expression.match(name):
                return True
        time_limit.check()
        return False


@lru_cache(maxsize=256)
def _compiled(group: tuple[str, ...]) -> re.Pattern[str]:
    time_limit.check()
    # fnmatch(3), which pacman uses, also takes [^…] for a negated set; Python only [!…].
    return re.compile("|".join(translate(pattern.replace("[^", "[!")) for pattern in group))
