"""The memory that a gunicorn master and its workers share, and which part of it belongs to this process.

layout.py says what is in it. It must not know Django or what a phase is.
"""

import mmap
import os
import threading
import time
import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from apps.lifecycle.shared_memory import layout
from apps.lifecycle.shared_memory.slots import Slot

# Linux shows this name in /proc/PID/fd: `manage.py drain` finds the instance by it, without a file.
NAME = "pacsync-instance"
# A reload may raise the number of workers to this without a restart. A slot takes no memory until it is used.
RESERVED_WORKERS = 16


class Memory:
    """`header` has what is true of the instance. `create()` makes a memory; `attach()` maps that of another process."""

    def __init__(self, mapping: mmap.mmap, descriptor: int | None = None) -> None:
        """`descriptor` is the memory's own, to lock with (apps/lifecycle/dbpool/permits.py); None if it has none.

        Raises ValueError if the mapping is too short.
        """
        self.descriptor = None
        self.header = layout.Header.from_buffer(mapping)
        self._mapping = mapping
        self.descriptor = descriptor

    def __del__(self) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)

    @classmethod
    def create(cls, *, workers: int = 1, port: int = 0, findable: bool = False) -> "Memory":
        """New memory for `workers`, and for the surplus that a reload makes. `findable`: by `discovery.instances()`."""
        slots = 2 * max(workers, RESERVED_WORKERS) + 4
        size = layout.total_bytes(slots)
        memory = cls(*_findable(size)) if findable and hasattr(os, "memfd_create") else cls(mmap.mmap(-1, size))
        header = memory.header
        header.master, header.slots, header.workers, header.port = os.getpid(), slots, workers, port
        header.identity[:] = list(uuid.uuid4().bytes)
        header.started = time.monotonic()
        header.magic = layout.MAGIC
        return memory

    @classmethod
    def attach(cls, path: str) -> "Memory":
        """The memory behind `path` (/proc/PID/fd/N). Raises OSError, and ValueError if it has another layout."""
        descriptor = os.open(path, os.O_RDWR)
        try:
            memory = cls(mmap.mmap(descriptor, 0), descriptor)
        except (OSError, ValueError):
            os.close(descriptor)
            raise
        if memory.header.magic != layout.MAGIC:
            raise ValueError("it was started by another version of PacSync")
        return memory

    @cached_property
    def identity(self) -> uuid.UUID:
        """New with every start of the instance."""
        return uuid.UUID(bytes=bytes(self.header.identity))

    @property
    def workers(self) -> int:
        """How many workers the instance is configured for."""
        return self.header.workers

    @property
    def address(self) -> str:
        """Where the instance listens: host:port, [host]:port or unix:/path; empty until it does."""
        return self.header.address.decode(errors="replace")

    @address.setter
    def address(self, text: str) -> None:
        self.header.address = text.encode()[: layout.ADDRESS_BYTES]

    @cached_property
    def _slots(self) -> list[Slot]:
        return [Slot.at(self._mapping, index) for index in range(self.header.slots)]

    def slot(self, index: int) -> Slot:
        return self._slots[index]

    def slots(self) -> Iterator[Slot]:
        return iter(self._slots)

    def _used(self) -> list[Slot]:
        return self._slots[: self.header.used_slots]

    def live(self) -> Iterator[Slot]:
        """The slots that a process holds, lowest first."""
        return (slot for slot in self._used() if slot.pid)

    def free_slot(self, shares: Collection[int] = ()) -> Slot:
        """The lowest slot that nobody holds, if possible without any of these shares of the budget.

        Raises LookupError if there is none.
        """
        free = [slot for slot in self._slots if not slot.pid]
        if not free:
            raise LookupError("the shared memory has no free slot")
        return next((slot for slot in free if slot.index % self.workers not in shares), free[0])

    def unready(self, seconds: float) -> bool:
        """Whether the health checks of a worker that goes on serving have failed within the last `seconds`."""
        since = max(0.0, time.monotonic() - seconds)
        return any(slot.unready_at > since and slot.stays for slot in self._used())

    def shared_area(self) -> memoryview:
        """512 KiB, zeroes at first, that every worker of the instance may write, number by number."""
        start = layout.slot_offset(self.header.slots)
        return memoryview(self._mapping)[start : start + layout.SHARED_AREA_BYTES]


def _findable(size: int) -> tuple[mmap.mmap, int]:
    descriptor = os.memfd_create(NAME)
    os.ftruncate(descriptor, size)
    return mmap.mmap(descriptor, size), descriptor


@dataclass
class _State:
    """Which memory and which slot this process uses."""

    memory: Memory | None = None
    slot: Slot | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)


_state = _State()


def install(memory: Memory, *, slot: int | None = None) -> None:
    """Have this process and its children use `memory`; `slot` is the one that this process writes."""
    with _state.lock:
        _state.memory = memory
        _state.slot = None if slot is None else memory.slot(slot)


def current() -> Memory:
    """The memory of this process; outside gunicorn it makes one of its own at the first use."""
    return _state.memory or _make_memory()


def _make_memory() -> Memory:
    with _state.lock:
        if _state.memory is None:
            _state.memory = Memory.create()
        return _state.memory


def mine() -> Slot:
    """The slot of this process; outside gunicorn it takes the lowest free one."""
    return _state.slot or _take_slot()


def _take_slot() -> Slot:
    with _state.lock:
        if _state.slot is None:
            _state.slot = current().free_slot()
            _state.slot.claim(os.getpid())
        return _state.slot


def leads() -> bool:
    """Whether this process does what one process of the instance must do: it holds the lowest slot that stays."""
    slot = mine()
    return slot.index == next((live.index for live in current().live() if live.stays), None)
