"""How much of the processor each instance gets: a control group of the kernel, as a container has. Needs root.

It must not know what the processes do.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

ROOT = Path("/sys/fs/cgroup")
PERIOD = 20_000  # microseconds: short, so that a process that has used its share is soon served again


@contextlib.contextmanager
def limited(pid: int, cores: float) -> Iterator[None]:
    """Let the process and its children use `cores` of the processor; 0 for all. OSError if the kernel doesn't allow it.

    Children that it starts later are limited with it.
    """
    if not cores:
        yield
        return
    unified = (ROOT / "cgroup.controllers").exists()
    group = (ROOT if unified else ROOT / "cpu") / f"pacsync-simulation-{os.getpid()}-{pid}"
    group.mkdir()
    try:
        quota = int(cores * PERIOD)
        if unified:
            (group / "cpu.max").write_text(f"{quota} {PERIOD}")
        else:
            (group / "cpu.cfs_period_us").write_text(str(PERIOD))
            (group / "cpu.cfs_quota_us").write_text(str(quota))
        for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
            (group / "cgroup.procs").write_text(str(process.pid))
        yield
    finally:
        _empty(group)


def _empty(group: Path) -> None:
    """Move whatever is left out of the group, and remove it."""
    for pid in (group / "cgroup.procs").read_text().split():
        with contextlib.suppress(OSError):  # it has ended
            (group.parent / "cgroup.procs").write_text(pid)
    for _ in range(50):
        with contextlib.suppress(OSError):
            group.rmdir()
            return
        time.sleep(0.1)
