"""What each worker reports to the others of its instance: JSON, in sections. It must not know what is in them."""

import os
import threading
import time
from typing import Any

from apps.health.metrics import counters
from apps.health.metrics.worker_memory import WorkerMemory
from apps.lifecycle.shared_memory import snapshots

_lock = threading.Lock()
_sections: dict[str, Any] = {}


def forget() -> None:
    _sections.clear()


os.register_at_fork(after_in_child=forget)


def write(section: str, content: dict[str, Any]) -> None:
    """Replace this worker's last report for that section with `content`, with the time (Unix seconds) as `at`."""
    with _lock:
        _sections[section] = content | {"at": time.time()}
        counters.own().write_report({"pid": os.getpid(), **_sections})


def read(section: str, *, own: bool = True, ended: bool = False) -> list[dict[str, Any]]:
    """What the live workers have reported in that section, newest first. Without `own`: only the other workers.

    `ended`: also those of workers that have ended, until another worker writes in their place.
    """
    live = {worker.pid: worker.slot for worker in snapshots.snapshot().workers}
    pieces = snapshots.scratches()
    found = []
    for slot in range(len(pieces)) if ended else live.values():
        report = WorkerMemory(pieces[slot]).read_report()
        if not report or section not in report or (report["pid"] == os.getpid() and not own):
            continue
        if ended or report["pid"] in live:
            found.append(report[section])
    return sorted(found, key=lambda content: float(content["at"]), reverse=True)
