"""The progress of an operation as text. It must not read the database."""

from collections.abc import Mapping

from apps.dashboard.presentation.status_badges import badge_of
from apps.fleet.progress import PREPARING, OperationProgress

# What the agent does in each of its phases. The phase of a newer agent is shown by its own name.
PHASE_LABELS = {
    PREPARING: "Preparing",
    "downloading": "Downloading packages",
    "rehearsing": "Rehearsing the transaction",
    "applying": "pacman is running",
    "verifying": "Checking the result",
    "comparing": "Comparing files",
    "checking": "Running the machine's health commands",
}
HOSTS_NAMED = 2
QUEUED = "queued"


def size(count: int) -> str:
    """A number of bytes in the units that the agent uses: `12.3 MiB`."""
    number = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024 or unit == "GiB":
            break
        number /= 1024
    return f"{count} B" if unit == "B" else f"{number:.1f} {unit}"


def sentence(progress: OperationProgress) -> str:
    """`Downloading packages: 12 of 40, 1.0 MiB of 4.0 MiB, now linux, from mirror.example:443.`"""
    parts = [f"{progress.done} of {progress.total}"] if progress.total else []
    if progress.bytes_total:
        parts.append(f"{size(progress.bytes_done)} of {size(progress.bytes_total)}")
    if progress.package:
        parts.append(f"now {progress.package}")
    if progress.hosts:
        names = [host.partition("://")[2] or "the machine itself" for host in progress.hosts]
        more = len(names) - HOSTS_NAMED
        parts.append(f"from {', '.join(names[:HOSTS_NAMED])}" + (f" and {more} more" if more > 0 else ""))
    phase = PHASE_LABELS.get(progress.phase) or progress.phase.replace("_", " ").capitalize()
    return f"{phase}: {', '.join(parts)}." if parts else f"{phase}."


def short_text(progress: OperationProgress, status: str) -> str:
    """`downloading 12 of 40`, next to the badge of `status`. A phase with the same name isn't repeated."""
    parts = [progress.phase.replace("_", " ")] if progress.phase != status else []
    return " ".join([*parts, *([f"{progress.done} of {progress.total}"] if progress.total else [])])


def phase_counts(counts: Mapping[str, int]) -> str:
    """How many operations are in which phase, without the queued ones: `2 downloading, 1 applying`."""
    return ", ".join(f"{count} {badge_of(phase).label}" for phase, count in counts.items() if phase != QUEUED)
