"""The problems that pacman reported although it ended with 0. It must not know what is done about them.

For pacman these are no failures: a failed scriptlet or hook, a file that it could not write or remove, a mode that it
didn't change. New .pacnew and .pacsave files are listed too, because somebody has to merge them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from . import error_output

_MOST = 10
_ALWAYS = re.compile(
    r"\.pacnew|\.pacsave|could not (chdir|change the root)"
    r"|warning given when extracting|directory (permissions|ownership) differs? on"
)
_LAST_RUN = re.compile(r"error: ")
_DETAIL = re.compile(r"filesystem: \S+\s+package: \S+")


def of(output: str, last_run: str, hooks: Sequence[str] = ()) -> tuple[str, ...]:
    """The problems in pacman's whole `output`, one sentence each; of each kind at most ten, and how many more.

    Errors count only in `last_run`, the output of the last run: earlier ones were overcome. A failed hook or scriptlet
    is named, with its own words; `hooks` lists the names of those that ran last.
    """
    failed = list(dict.fromkeys(str(one) for one in error_output.failed_commands(output, hooks)))
    kinds: dict[str, list[str]] = {"failed": failed}
    for text, pattern in ((output, _ALWAYS), (last_run, _LAST_RUN)):
        lines = text.splitlines()
        for number, line in enumerate(lines):
            found = pattern.match(line) if pattern is _LAST_RUN else pattern.search(line)
            if found and not error_output.FAILED_COMMAND.match(line):
                said = re.sub(r"^(error|warning): ", "", line).strip()
                detail = lines[number + 1].strip() if number + 1 < len(lines) else ""
                if _DETAIL.fullmatch(detail):
                    said += f" ({re.sub(r'  +', ', ', detail)})"
                kinds.setdefault(found.group(), [])
                if not any(said in known for known in kinds.values()):
                    kinds[found.group()].append(said)
    complaints: list[str] = []
    for known in kinds.values():
        complaints += known[:_MOST]
        if len(known) > _MOST:
            complaints.append(f"{len(known) - _MOST} more of the kind of the last one; the log has them")
    return tuple(complaints)
