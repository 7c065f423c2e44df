"""The memory that a gunicorn master and its workers share: one header, and one slot per worker.

It owns the layout and nothing else; it must not know what a phase is, nor Django. No lock is shared between processes:
every word has one writer (the master, the `drain` command, or the slot's own worker), words are 8 bytes and aligned, so
that a read is never torn, and a record of several words carries a stamp that a reader compares before and after. Only
the shared area behind the slots has several writers: its users bear that an update is lost now and then.

All times in it are `time.monotonic()`, which every process of a machine shares.
"""

import json
import mmap
import os
import threading
import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

# Linux shows this name in /proc/PID/fd, which is how `manage.py drain` finds the instance without a file.
NAME: Final = "pacsync-instance"
MAGIC: Final = 0x5041435359_0005  # "PACSY", and the version of this layout

WORD: Final = 8
HEADER_WORDS: Final = 64
MAGIC_AT, MASTER, SLOTS, WORKERS, PORT, SIGNAL = range(6)
STARTED, SERVING_AT, DRAIN_REQUESTED_AT, SIGNAL_AT, STOPPING_AT, DEADLINE, DRAIN_DELAY = range(8, 15)
IDENTITY: Final = 16  # two words: the 128 bits of the instance's UUID
# Written by any worker, but each time as a whole, and none depends on what was there before.
WRITES_PROBLEM, WRITES_DOUBTED_AT = 24, 25
# How many database connections all workers may have together (0: no limit), how many the trial of a reload has, and the
# time until which it waits for one (permits.py).
BUDGET, TRIAL_OPEN, WANTED_UNTIL = range(18, 21)
ASKED_PORT: Final = 21  # HTTP_PORT as the environment has it; PORT is what gunicorn's options or systemd made of it
ADDRESS: Final = 32  # 128 bytes: where the instance listens, as text
ADDRESS_BYTES: Final = 128

PID, LEAVING, IN_FLIGHT, REFUSED, CLAIMED_AT, SAMPLE = range(6)
SAMPLE_WORDS: Final = 8
WAITING: Final = SAMPLE + 1 + SAMPLE_WORDS
# READY: the worker accepts connections. OPEN: its database connections. TIRED: it asks to be replaced. RETIRED (written
# by the master): it has been replaced, so a SIGTERM is meant for it.
# CLOSED: it takes no further connection.
READY, OPEN, TIRED, RETIRED, UNREADY, CLOSED = range(WAITING + 1, WAITING + 7)
TRACKED: Final = 24
TRACKED_ENTRIES: Final = 64  # more threads than a worker has; what does not fit is still waited for, only not named
ENTRY_WORDS: Final = 8  # a stamp and 56 bytes of name
NAME_BYTES: Final = (ENTRY_WORDS - 1) * WORD
REPORT: Final = TRACKED + TRACKED_ENTRIES * ENTRY_WORDS
REPORT_BYTES: Final = 8192
SCRATCH: Final = REPORT + 2 + REPORT_BYTES // WORD
SCRATCH_BYTES: Final = 256 * 1024  # pages that nobody touches cost nothing
SLOT_WORDS: Final = SCRATCH + SCRATCH_BYTES // WORD
SHARED_BYTES: Final = 512 * 1024  # behind the slots, for times that every worker writes (apps/lifecycle/rates.py)


class Memory:
    """The whole board. `create()` makes one, `attach()` maps that of another process of this machine."""

    def __init__(self, mapping: mmap.mmap, descriptor: int | None = None) -> None:
        self.descriptor = descriptor  # of the memory, to lock by (permits.py); None when it has none
        self._bytes = memoryview(mapping)
        self.integers = self._bytes.cast("q")
        self.floats = self._bytes.cast("d")

    def __del__(self) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)

    @classmethod
    def create(cls, *, workers: int = 1, port: int = 0, findable: bool = False) -> "Memory":
        """A new board for `workers`, with room for the surplus that a reload makes; `findable` by `instances()`."""
        slots = 2 * workers + 4
        size = (HEADER_WORDS + slots * SLOT_WORDS) * WORD + SHARED_BYTES
        memory = cls(*_findable(size)) if findable and hasattr(os, "memfd_create") else cls(mmap.mmap(-1, size))
        words = memory.integers
        words[MASTER], words[SLOTS], words[WORKERS], words[PORT] = os.getpid(), slots, workers, port
        identity = uuid.uuid4().bytes
        memory._bytes[IDENTITY * WORD : (IDENTITY + 2) * WORD] = identity
        memory.floats[STARTED] = time.monotonic()
        words[MAGIC_AT] = MAGIC
        return memory

    @cached_property
    def _unready_words(self) -> list[int]:
        return [HEADER_WORDS + index * SLOT_WORDS + UNREADY for index in range(self.integers[SLOTS])]

    def unready(self, seconds: float) -> bool:
        """Whether the checks of any worker failed within the last `seconds`."""
        since = time.monotonic() - seconds
        return any(self.floats[word] > max(0.0, since) for word in self._unready_words)

    @classmethod
    def attach(cls, path: str) -> "Memory":
        """The board behind `path` (/proc/PID/fd/N). Raises OSError, ValueError when it is of another version."""
        descriptor = os.open(path, os.O_RDWR)
        try:
            memory = cls(mmap.mmap(descriptor, 0), descriptor)
        except (OSError, ValueError):
            os.close(descriptor)
            raise
        if memory.integers[MAGIC_AT] != MAGIC:
            raise ValueError("it was started by another version of PacSync")
        return memory

    @property
    def identity(self) -> uuid.UUID:
        return uuid.UUID(bytes=bytes(self._bytes[IDENTITY * WORD : (IDENTITY + 2) * WORD]))

    @property
    def workers(self) -> int:
        """How many workers the instance is configured for."""
        return self.integers[WORKERS]

    def shared(self) -> memoryview:
        """512 KiB of zeroes at first, which every worker of the instance may write, word by word."""
        start = (HEADER_WORDS + self.integers[SLOTS] * SLOT_WORDS) * WORD
        return self._bytes[start : start + SHARED_BYTES]

    @property
    def address(self) -> str:
        """Where the instance listens: host:port, [host]:port or unix:/path; empty while it doesn't yet."""
        return (
            bytes(self._bytes[ADDRESS * WORD : ADDRESS * WORD + ADDRESS_BYTES]).rstrip(b"\0").decode(errors="replace")
        )

    @address.setter
    def address(self, text: str) -> None:
        data = text.encode()[:ADDRESS_BYTES].ljust(ADDRESS_BYTES, b"\0")
        self._bytes[ADDRESS * WORD : ADDRESS * WORD + ADDRESS_BYTES] = data

    def slots(self) -> "Iterator[Slot]":
        return (Slot(self, index) for index in range(self.integers[SLOTS]))

    def live(self) -> "Iterator[Slot]":
        """The slots that a process holds, lowest first."""
        return (slot for slot in self.slots() if slot.pid)

    def free_slot(self, shares: Collection[int] = ()) -> "Slot":
        """The lowest slot that nobody holds, if possible with none of these shares of the budget.

        LookupError when there is none.
        """
        free = [slot for slot in self.slots() if not slot.pid]
        if not free:
            raise LookupError("no slot is free on the board")
        return next((slot for slot in free if slot.index % self.workers not in shares), free[0])


def _findable(size: int) -> tuple[mmap.mmap, int]:
    descriptor = os.memfd_create(NAME)
    os.ftruncate(descriptor, size)
    return mmap.mmap(descriptor, size), descriptor


class Slot:
    """One worker's part. Written by that worker only, except that the master claims and releases it."""

    def __init__(self, memory: Memory, index: int) -> None:
        self.memory, self.index = memory, index
        self._base = HEADER_WORDS + index * SLOT_WORDS
        self._integers, self._floats, self._bytes = memory.integers, memory.floats, memory._bytes
        self._lock = threading.Lock()

    @property
    def pid(self) -> int:
        return self._integers[self._base + PID]

    @property
    def leaving(self) -> bool:
        """Whether this worker has begun its cleanup: it leads nothing any more."""
        return bool(self._integers[self._base + LEAVING])

    @property
    def closed(self) -> bool:
        """Whether this worker has begun to take its last connections."""
        return bool(self._integers[self._base + CLOSED])

    @property
    def ready(self) -> bool:
        """Whether this worker accepts connections."""
        return bool(self._integers[self._base + READY])

    @property
    def tired(self) -> bool:
        """Whether this worker asks to be replaced; it serves until it is."""
        return bool(self._integers[self._base + TIRED])

    @property
    def retired(self) -> bool:
        """Whether the master has replaced this worker, so that it must end."""
        return bool(self._integers[self._base + RETIRED])

    @property
    def stays(self) -> bool:
        return not (self.leaving or self.retired)

    @property
    def open(self) -> int:
        """How many database connections this worker has, or is just opening."""
        return self._integers[self._base + OPEN]

    @open.setter
    def open(self, connections: int) -> None:
        self._integers[self._base + OPEN] = connections

    @property
    def in_flight(self) -> int:
        return self._integers[self._base + IN_FLIGHT]

    @property
    def waiting(self) -> int:
        """Those of them that wait for their turn."""
        return self._integers[self._base + WAITING]

    @property
    def refused(self) -> int:
        """Requests that the bulkhead refused, since the instance started."""
        return self._integers[self._base + REFUSED]

    def claim(self, pid: int) -> None:
        """Take the slot for a process; what the one before left of gauges is wiped, counters stay."""
        self.release()
        self._floats[self._base + CLAIMED_AT] = time.monotonic()
        self._integers[self._base + PID] = pid

    def adopt(self, pid: int) -> None:
        """The slot that the master has claimed for this worker; what the master wrote in it meanwhile stays."""
        self._integers[self._base + PID] = pid

    def release(self) -> None:
        """Free the slot. The scratch area and the refusals stay: counters never go backwards."""
        for word in (PID, LEAVING, IN_FLIGHT, WAITING, READY, OPEN, TIRED, RETIRED, UNREADY, CLOSED):
            self._integers[self._base + word] = 0
        self._floats[self._base + SAMPLE] = 0
        self._integers[self._base + REPORT] = 0
        for entry in range(TRACKED_ENTRIES):
            self._floats[self._entry(entry)] = 0

    def leave(self) -> None:
        self._integers[self._base + LEAVING] = 1

    def accepting(self) -> None:
        self._integers[self._base + READY] = 1

    def close(self) -> None:
        self._integers[self._base + CLOSED] = 1

    def tire(self) -> None:
        self._integers[self._base + TIRED] = 1

    def retire(self) -> None:
        self._integers[self._base + RETIRED] = 1

    def count(self, change: int, *, limit: int | None = None) -> bool:
        """Add to the requests in flight; False, and one more refusal, when that would go over `limit`."""
        with self._lock:
            present = self._integers[self._base + IN_FLIGHT]
            if limit is not None and present + change > limit:
                self._integers[self._base + REFUSED] += 1
                return False
            self._integers[self._base + IN_FLIGHT] = present + change
            return True

    def wait(self, change: int) -> None:
        """Add to the requests in flight that wait for their turn."""
        with self._lock:
            self._integers[self._base + WAITING] += change

    def show_unready(self, unready: bool) -> None:
        """Tell the other workers whether the checks of this one fail."""
        self._floats[self._base + UNREADY] = time.monotonic() if unready else 0.0

    def refuse(self) -> None:
        """One more refusal."""
        with self._lock:
            self._integers[self._base + REFUSED] += 1

    def _entry(self, number: int) -> int:
        return self._base + TRACKED + number * ENTRY_WORDS

    def track(self, name: str) -> int | None:
        """Show a tracked work under `name` (56 bytes of it); its entry, or None when all are taken."""
        text = name.encode()[:NAME_BYTES].ljust(NAME_BYTES, b"\0")
        with self._lock:
            for number in range(TRACKED_ENTRIES):
                word = self._entry(number)
                if not self._floats[word]:
                    self._bytes[(word + 1) * WORD : (word + ENTRY_WORDS) * WORD] = text
                    self._floats[word] = time.monotonic()  # last: it is what makes the entry valid
                    return number
        return None

    def untrack(self, number: int | None) -> None:
        if number is not None:
            self._floats[self._entry(number)] = 0

    def tracked(self) -> list[tuple[str, float]]:
        """(name, monotonic time of its start) of everything tracked."""
        found = []
        for number in range(TRACKED_ENTRIES):
            word = self._entry(number)
            started = self._floats[word]
            if started:
                text = bytes(self._bytes[(word + 1) * WORD : (word + ENTRY_WORDS) * WORD])
                if self._floats[word] == started:  # else it ended meanwhile, and the name may be another's
                    found.append((text.rstrip(b"\0").decode(errors="ignore"), started))
        return found

    def publish(self, values: tuple[int, ...]) -> None:
        """Write the dbpool's numbers as one record, stamped with the time."""
        word = self._base + SAMPLE
        with self._lock:
            self._floats[word] = 0
            for offset, value in enumerate(values, 1):
                self._integers[word + offset] = value
            self._floats[word] = time.monotonic()

    def sample(self) -> tuple[float, tuple[int, ...]] | None:
        """The record last published and its monotonic time; None when there is none."""
        word = self._base + SAMPLE
        for _ in range(100):
            stamp = self._floats[word]
            values = tuple(self._integers[word + 1 : word + 1 + SAMPLE_WORDS])
            if stamp and self._floats[word] == stamp:
                return stamp, values
            if not stamp:
                time.sleep(0)  # never published, or just being written
        return None

    def write_report(self, report: dict[str, Any]) -> None:
        """Leave the worker's account of its shutdown for the master; it must fit in 8 KiB of JSON."""
        text = json.dumps(report).encode()
        if len(text) > REPORT_BYTES:
            text = json.dumps({"truncated": True}).encode()
        start = (self._base + REPORT + 2) * WORD
        self._bytes[start : start + len(text)] = text
        self._integers[self._base + REPORT] = len(text)

    def report(self) -> dict[str, Any] | None:
        length = self._integers[self._base + REPORT]
        start = (self._base + REPORT + 2) * WORD
        with suppress(ValueError):  # killed while it wrote
            if length:
                return dict(json.loads(bytes(self._bytes[start : start + length])))
        return None

    def scratch(self) -> memoryview:
        """256 KiB of zeroes at first, for counters; kept over worker restarts, written by this worker only."""
        start = (self._base + SCRATCH) * WORD
        return self._bytes[start : start + SCRATCH_BYTES]


def instances() -> Iterator[tuple[int, Memory]]:
    """(pid of the master, its board) of each instance of this machine whose memory we may open. Linux only."""
    seen = set()
    for pid in filter(str.isdigit, _listing("/proc")):
        for number in _listing(f"/proc/{pid}/fd"):
            path = f"/proc/{pid}/fd/{number}"
            with suppress(OSError, ValueError):
                if not os.readlink(path).startswith(f"/memfd:{NAME} "):
                    continue
                inode = os.stat(path).st_ino
                if inode not in seen:
                    seen.add(inode)
                    memory = Memory.attach(path)
                    yield memory.integers[MASTER], memory


def _listing(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:  # the process ended, or is another user's
        return []


@dataclass
class _Process:
    """Which board and which slot this process uses."""

    memory: Memory | None = None
    slot: Slot | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)


_process = _Process()


def install(memory: Memory, *, slot: int | None = None) -> None:
    """Make `memory` the board of this process, and of its children; `slot` is the one that it writes."""
    with _process.lock:
        _process.memory = memory
        _process.slot = None if slot is None else Slot(memory, slot)


def current() -> Memory:
    """The board of this process; outside gunicorn one of its own is made at the first use."""
    return _process.memory or _first_board()


def _first_board() -> Memory:
    with _process.lock:
        if _process.memory is None:
            _process.memory = Memory.create()
        return _process.memory


def mine() -> Slot:
    """The slot of this process; outside gunicorn it takes the lowest free one."""
    return _process.slot or _first_slot()


def _first_slot() -> Slot:
    with _process.lock:
        if _process.slot is None:
            _process.slot = current().free_slot()
            _process.slot.claim(os.getpid())
        return _process.slot


def leads() -> bool:
    """Whether this process does what one process of the instance has to do: it holds the lowest slot that stays."""
    slot = mine()
    return slot.index == next((live.index for live in slot.memory.live() if live.stays), None)
