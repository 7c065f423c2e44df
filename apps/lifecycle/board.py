"""What the whole instance is doing at the moment, read from the shared memory. Read only; it knows no HTTP.

Every time in a snapshot is in Unix seconds.
"""

from dataclasses import astuple, dataclass, replace

from apps.lifecycle import memory, phase
from apps.lifecycle.phase import Phase


@dataclass(frozen=True)
class DbpoolSample:
    """A dbpool's numbers. `size` is open connections (idle and active); the last two only ever grow.

    `exhausted` counts requests that got no connection, `errors` connections that were lost or couldn't be made.
    """

    size: int = 0
    idle: int = 0
    active: int = 0
    waiting: int = 0
    min_size: int = 0
    max_size: int = 0
    exhausted: int = 0
    errors: int = 0

    def __add__(self, other: "DbpoolSample") -> "DbpoolSample":
        return DbpoolSample(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True)
class WorkerSnapshot:
    """One worker. `waiting` of the requests in flight wait for their turn. `tracked` is (name, started); `sampled` is
    when the dbpool's numbers were taken, else None."""

    slot: int
    pid: int
    in_flight: int
    waiting: int
    tracked: tuple[tuple[str, float], ...]
    dbpool: DbpoolSample | None
    sampled: float | None


@dataclass(frozen=True)
class InstanceSnapshot:
    """The instance. `deadline` is when it must have exited, None while no signal came."""

    phase: Phase
    phase_since: float
    deadline: float | None
    workers: tuple[WorkerSnapshot, ...]
    refused: int = 0

    @property
    def in_flight(self) -> int:
        return sum(worker.in_flight for worker in self.workers)

    @property
    def waiting(self) -> int:
        return sum(worker.waiting for worker in self.workers)

    @property
    def tracked(self) -> tuple[tuple[str, float], ...]:
        return tuple(work for worker in self.workers for work in worker.tracked)

    @property
    def dbpool(self) -> DbpoolSample | None:
        """The sum over all workers; None when no worker has a dbpool."""
        samples = [worker.dbpool for worker in self.workers if worker.dbpool]
        return sum(samples[1:], samples[0]) if samples else None


def snapshot(board: memory.Memory | None = None) -> InstanceSnapshot:
    """What the instance does now. Some 50 µs per worker, no lock, no I/O."""
    board = board or memory.current()
    deadline = board.floats[memory.DEADLINE]
    return InstanceSnapshot(
        phase=phase.of(board),
        phase_since=phase.wall(phase.began(board)),
        deadline=phase.wall(deadline) if deadline else None,
        workers=tuple(_worker(slot) for slot in board.live()),
        refused=sum(slot.refused for slot in board.slots()),
    )


def _worker(slot: memory.Slot) -> WorkerSnapshot:
    sample = slot.sample()
    return WorkerSnapshot(
        slot=slot.index,
        pid=slot.pid,
        in_flight=slot.in_flight,
        waiting=slot.waiting,
        tracked=tuple((name, phase.wall(started)) for name, started in slot.tracked()),
        dbpool=_dbpool(sample[1], slot.retired) if sample else None,
        sampled=phase.wall(sample[0]) if sample else None,
    )


def _dbpool(numbers: tuple[int, ...], retired: bool) -> DbpoolSample:
    """A retired worker has connections for as long as it uses them; its share is its successor's."""
    found = DbpoolSample(*numbers)
    return replace(found, min_size=0, max_size=0) if retired else found


def scratch() -> memoryview:
    """256 KiB of this worker's own, zeroes at first, kept over its restarts. Cast it to what you count in."""
    return memory.mine().scratch()


def scratches() -> list[memoryview]:
    """The scratch areas of all slots, also of workers that are gone: what they counted stays counted."""
    return [slot.scratch() for slot in memory.current().slots()]
