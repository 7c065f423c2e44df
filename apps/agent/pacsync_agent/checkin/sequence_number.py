"""The number of each report of this machine: the server ignores a lower one. It must not know what is reported."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple, Optional

from ..system import files


class Numbers(NamedTuple):
    """`previous`: the number that this machine gave last, None where that isn't known."""

    number: int
    previous: Optional[int]


class SequenceNumbers:
    """The numbers that this process gave while there was no room to keep them, by file."""

    def __init__(self) -> None:
        self._not_kept: dict[Path, int] = {}

    def following(self, directory: Path) -> int:
        """A number above every one before: milliseconds of the clock, or one more where the clock went back.

        `directory` is the agent's own. Where the disk has no room for the number, the clock and this process's memory
        have to do.
        """
        return self.following_with_previous(directory).number

    def following_with_previous(self, directory: Path) -> Numbers:
        """The same, with the number before. Where the disk had no room, another process may have given a later one."""
        path = directory / "seq.json"
        try:
            last = int((files.read_json(path) or {}).get("seq", 0))
        except (ValueError, TypeError):
            last = 0
        number = max(last + 1, self._not_kept.get(path, 0) + 1, int(time.time() * 1000))
        not_kept = self._not_kept.pop(path, None)
        if not files.keep_json(path, {"seq": number}):
            self._not_kept[path] = number
            return Numbers(number, None)
        return Numbers(number, last if last and not_kept is None else None)


_numbers = SequenceNumbers()
following = _numbers.following
following_with_previous = _numbers.following_with_previous
