"""Which boot of the machine this is, so that a later start can tell a power cut from the death of a process.

It must not know what follows from that.
"""

from __future__ import annotations

from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_STAT = Path("/proc/stat")


def current() -> str:
    """The kernel's random id of this boot; empty if the kernel doesn't say."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def began() -> int:
    """When this boot began, in seconds of the clock; 0 if the kernel doesn't say."""
    try:
        lines = _STAT.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("btime ")), 0)


def is_another(known: object) -> bool:
    """Whether `known` is the id of another boot. An unknown id (empty; None of an older agent) counts as this."""
    now = current()
    return bool(known) and bool(now) and known != now
