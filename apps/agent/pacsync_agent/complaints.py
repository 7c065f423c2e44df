"""What pacman said of things that went wrong although it ended with 0. It must not know what becomes of them.

pacman counts as success: a failed scriptlet or hook, a file that it could not write or remove, a mode that it left as
it was. Configuration files that it put beside the old ones are said too, because somebody has to merge them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from . import pacman_said

_MOST = 10
_ALWAYS = re.compile(
    r"\.pacnew|\.pacsave|could not (chdir|change the root)"
    r"|warning given when extracting|directory (permissions|ownership) differs? on"
)
_LAST_RUN = re.compile(r"error: ")
_DETAIL = re.compile(r"filesystem: \S+\s+package: \S+")


def of(output: str, last_run: str, hooks: Sequence[str] = ()) -> tuple[str, ...]:
    """The complaints in `output`, all that pacman said, one sentence each: of each kind at most ten, and how many more.

    Errors count only in `last_run`, the part of the run that came to its end: those before it were overcome. A hook or
    scriptlet that failed is named, with its own words; `hooks` are the names of those that ran last.
    """
    failed = list(dict.fromkeys(str(one) for one in pacman_said.failed_commands(output, hooks)))
    kinds: dict[str, list[str]] = {"failed": failed}
    for text, pattern in ((output, _ALWAYS), (last_run, _LAST_RUN)):
        lines = text.splitlines()
        for number, line in enumerate(lines):
            found = pattern.match(line) if pattern is _LAST_RUN else pattern.search(line)
            if found and not pacman_said.FAILED_COMMAND.match(line):
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
