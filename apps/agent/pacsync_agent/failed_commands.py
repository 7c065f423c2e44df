"""Whose command it was that pacman says failed: which hook's, by its file name, or which package's scriptlet.

pacman says the same words for all of them. It must not know what becomes of a failure.
"""

from __future__ import annotations

import re

from .pacman_conf import PacmanConf
from .running_hook import LOGGED, PHASE, logged

_FAILED = re.compile(r"error: command (failed to execute correctly|terminated by signal .*)$")
_BEGINS = re.compile(r"\(\s*(\d+)/(\d+)\) (.+)$")
_PACKAGE = re.compile(r"(?:\(\s*\d+/\d+\) )?(?:removing|upgrading|downgrading|reinstalling|installing) (\S+?)\.\.\.$")


def explained(said: str, conf: PacmanConf) -> str:
    """What pacman said, where each such line names the hook or the package, and has the last words of its command."""
    lines = said.splitlines()
    if not any(_FAILED.match(line) for line in lines):
        return said
    hooks = _hooks(lines)
    names = [name for _, name in LOGGED.findall(logged(conf))][-len(hooks) :] if hooks else []
    # pacman's log may have been cut: what is there are the last ones.
    named = dict(zip(reversed(hooks), reversed(names)))  # noqa: B905 - Python 3.9 has no `strict`
    whose, own, in_hooks = "", "", False
    for number, line in enumerate(lines):
        phase, package = PHASE.match(line), _PACKAGE.match(line)
        if phase:
            whose, own, in_hooks = "", "", phase.group(1).startswith("Running")
        elif number in hooks:
            whose, own = _hook(hooks[number], named.get(number, "")), ""
        elif package and not in_hooks:
            whose, own = f"a scriptlet of {package.group(1)}", ""
        elif _FAILED.match(line) and whose:
            lines[number] += f": {whose}" + (f', which said "{own}"' if own else "")
        elif line.strip():
            own = line.strip()
    return "\n".join([*lines, ""])


def _hook(description: str, name: str) -> str:
    return f"the hook {name} ({description})" if name not in {"", description} else f'the hook "{description}"'


def _hooks(lines: list[str]) -> dict[int, str]:
    """The numbers of the lines with which a hook begins, and its description. A hook may print lines that look so."""
    found: dict[int, str] = {}
    place = (0, 0)  # which hook of how many comes next; of 0: the first one tells
    for number, line in enumerate(lines):
        phase, begins = PHASE.match(line), _BEGINS.match(line)
        if phase:
            place = (1, 0) if phase.group(1).startswith("Running") else (0, 0)
        elif begins and int(begins[1]) == place[0] and place[1] in {0, int(begins[2])}:
            found[number] = begins[3].rstrip(".")
            place = (place[0] + 1, int(begins[2]))
    return found
