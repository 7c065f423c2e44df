"""How far an operation is, in words. It must not read the database."""

from collections.abc import Mapping

from apps.dashboard.look import look
from apps.fleet.progress import PREPARING, Progress

# What the agent does in each of its phases; a newer agent's phase is shown by its own name.
DOING = {
    PREPARING: "Preparing",
    "downloading": "Downloading packages",
    "rehearsing": "Rehearsing the transaction",
    "applying": "pacman is at work",
    "verifying": "Checking what came of it",
    "comparing": "Comparing files",
}
HOSTS_NAMED = 2
QUEUED = "queued"


def size(count: int) -> str:
    """`12.3 MiB` and the like, as the agent says it."""
    number = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024 or unit == "GiB":
            break
        number /= 1024
    return f"{count} B" if unit == "B" else f"{number:.1f} {unit}"


def sentence(far: Progress) -> str:
    """`Downloading packages: 12 of 40, 1.0 MiB of 4.0 MiB, now linux, from mirror.example:443.`"""
    parts = [f"{far.done} of {far.total}"] if far.total else []
    if far.bytes_total:
        parts.append(f"{size(far.bytes_done)} of {size(far.bytes_total)}")
    if far.package:
        parts.append(f"now {far.package}")
    if far.hosts:
        names = [host.partition("://")[2] or "the machine itself" for host in far.hosts]
        more = len(names) - HOSTS_NAMED
        parts.append(f"from {', '.join(names[:HOSTS_NAMED])}" + (f" and {more} more" if more > 0 else ""))
    said = DOING.get(far.phase) or far.phase.replace("_", " ").capitalize()
    return f"{said}: {', '.join(parts)}." if parts else f"{said}."


def brief(far: Progress, status: str) -> str:
    """`downloading 12 of 40`, for a table that has the status beside it: a phase of the same name isn't said again."""
    parts = [far.phase.replace("_", " ")] if far.phase != status else []
    return " ".join([*parts, *([f"{far.done} of {far.total}"] if far.total else [])])


def phases(counts: Mapping[str, int]) -> str:
    """`2 downloading, 1 applying`: how many operations that a machine has begun are in which phase."""
    return ", ".join(f"{count} {look(phase).words}" for phase, count in counts.items() if phase != QUEUED)
