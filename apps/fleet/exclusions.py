"""A pool's excluded packages: which patterns make sense, and what each of them matches. It writes nothing.

What a machine holds (IgnorePkg) is its own affair, and not checked here. It must not know HTTP.
"""

import re
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Count

from . import revisions, states, text_input, time_limit
from .exceptions import Invalid, InvalidPattern
from .models import Endpoint, Pool, State
from .patterns import Matcher

FIELD = "excluded_packages"
_STATES_AT_ONCE = 200
# Names that have nothing in common: what matches all of them leaves nothing for a target.
_ANYTHING = ("abcdefgh", "zyxwvuts9", "0qrstuv-k", "lib32-nm", "python-o.p", "_under+x", "@home.Q", "Quux-7w")
# What a pkgname may hold (`alpm.names`), and what a pattern may hold in addition.
_LITERAL = re.compile(r"[A-Za-z0-9@._+-]")
_WILD = "*?"


@dataclass(frozen=True, kw_only=True)
class Match:
    """What one pattern matches: `managed` and `left_out` are names that the current target has, or leaves out.

    `machines` has the names that machines of the pool have now, with how many have each.
    """

    pattern: str
    managed: list[str]
    left_out: list[str]
    machines: dict[str, int]


def checked(value: object) -> list[str]:
    """The patterns, each once, if each of them can match some packages and not all. Raises InvalidPattern."""
    try:
        found = text_input.patterns(value, field=FIELD)
    except Invalid as refusal:
        raise InvalidPattern(str(refusal), field=FIELD) from None
    for pattern in found:
        problem = _syntax(pattern)
        if problem:
            raise InvalidPattern(f"“{pattern}” makes no sense: {problem}.", field=FIELD, pattern=pattern)
        if all(map(Matcher([pattern]).matches, _ANYTHING)):
            raise InvalidPattern(
                f"“{pattern}” matches every package, so that nothing would be left for a target.",
                field=FIELD,
                pattern=pattern,
            )
    return found


def _syntax(pattern: str) -> str:
    """What is wrong with the pattern; empty if nothing is."""
    if pattern[0] in "-.":
        return f"no package name begins with “{pattern[0]}”"
    place = 0
    while place < len(pattern):
        char = pattern[place]
        if char == "[":
            end = _end_of_set(pattern, place)
            if end < 0:
                return "its “[” is never closed"
            problem = _set(pattern[place + 1 : end])
            if problem:
                return problem
            place = end
        elif char not in _WILD and not _LITERAL.match(char):
            return f"no package name has “{char}” in it"
        place += 1
    return ""


def _end_of_set(pattern: str, start: int) -> int:
    """The place of the `]`: one that comes first in the set is a member of it."""
    place = start + 1
    if pattern[place : place + 1] in ("!", "^"):
        place += 1
    return pattern.find("]", place + 1)


def _set(inner: str) -> str:
    members = inner[1:] if inner[:1] in ("!", "^") else inner
    if re.search(r"\[[:.=]", members):
        return "classes like [:alpha:] aren't known here; write [a-z]"
    if members == inner and not any(map(_LITERAL.match, members)):
        return f"no package name has “{members[0]}” in it"
    for one, two in re.findall(r"(.)-(.)", members):
        if one > two:
            return f"from {one} to {two} there is nothing"
    return ""


def matches(pool: Pool, patterns: Sequence[str]) -> list[Match]:
    """What each pattern matches now, in the given order. `pool` with its target. Raises ComparisonTooLong."""
    if not patterns:
        return []
    on_machines = _on_machines(pool)
    target = pool.target
    managed = sorted(package.name for package in states.load(target.state)) if target else []
    left_out = sorted(revisions.unmanaged_names(target)) if target else []
    found = []
    for pattern in time_limit.bounded(patterns, every=1):
        matcher = Matcher([pattern])
        found.append(
            Match(
                pattern=pattern,
                managed=[name for name in managed if matcher.matches(name)],
                left_out=[name for name in left_out if matcher.matches(name)],
                machines={name: count for name, count in on_machines.items() if matcher.matches(name)},
            )
        )
    return found


def _on_machines(pool: Pool) -> dict[str, int]:
    """How many endpoints of the pool have each package, by name; each state of theirs is read once."""
    endpoints = Endpoint.objects.filter(pool=pool, state__isnull=False).order_by()
    counts: dict[str, int] = dict(endpoints.values_list("state").annotate(count=Count("pk")))
    digests = sorted(counts)
    values: Counter[int] = Counter()
    for start in range(0, len(digests), _STATES_AT_ONCE):
        time_limit.check()
        rows = State.objects.filter(pk__in=digests[start : start + _STATES_AT_ONCE]).values_list("pk", "packages")
        for digest, packages in rows:
            _add(values, states.unpack(packages), counts[digest])
    found: Counter[str] = Counter()
    for value, package in states.load_values(values).items():
        found[package.name] += values[value]
    return dict(sorted(found.items(), key=lambda one: (-one[1], one[0])))


def _add(counted: "Counter[int]", values: "array[int]", times: int) -> None:
    if times == 1:
        counted.update(values)
        return
    for value in values:
        counted[value] += times
