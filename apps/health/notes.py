"""What each worker leaves for the others of its instance: JSON, in sections. It must not know what is in them."""

import os
import threading
import time
from typing import Any

from apps.health import meters
from apps.health.ledger import Ledger
from apps.lifecycle import board

_lock = threading.Lock()
_sections: dict[str, Any] = {}


def forget() -> None:
    _sections.clear()


os.register_at_fork(after_in_child=forget)


def leave(section: str, content: dict[str, Any]) -> None:
    """Leave `content` in place of this worker's last one for that section, with the time (Unix seconds) as `at`."""
    with _lock:
        _sections[section] = content | {"at": time.time()}
        meters.own().write_note({"pid": os.getpid(), **_sections})


def read(section: str, *, own: bool = True, ended: bool = False) -> list[dict[str, Any]]:
    """What the workers that live have left in that section, the newest first; without `own`, what others have.

    `ended`: also what workers have left that have ended since, as long as no other worker writes in their place.
    """
    live = {worker.pid: worker.slot for worker in board.snapshot().workers}
    pieces = board.scratches()
    found = []
    for slot in range(len(pieces)) if ended else live.values():
        note = Ledger(pieces[slot]).read_note()
        if not note or section not in note or (note["pid"] == os.getpid() and not own):
            continue
        if ended or note["pid"] in live:
            found.append(note[section])
    return sorted(found, key=lambda content: float(content["at"]), reverse=True)
