"""What a worker writes into its slot of the shared memory, and how others read it. It must not know who asks.

The lock is for the threads of the one process that writes; between processes there is none (layout.py).
"""

import json
import logging
import mmap
import threading
import time
from contextlib import suppress
from typing import Any, Self

from apps.lifecycle.shared_memory import layout

logger = logging.getLogger(__name__)


class Slot(layout.SlotFields):
    """One worker's slot. Only that worker writes it, except that the master claims, frees and retires it."""

    index: int
    _header: layout.Header
    _lock: threading.Lock

    @classmethod
    def at(cls, mapping: mmap.mmap, index: int) -> Self:
        slot = cls.from_buffer(mapping, layout.slot_offset(index))
        slot.index, slot._lock = index, threading.Lock()
        slot._header = layout.Header.from_buffer(mapping)
        return slot

    @property
    def stays(self) -> bool:
        """Whether this worker continues: it neither cleans up nor has been replaced."""
        return not (self.cleaning_up or self.retired)

    # --- whose it is ----------------------------------------------------------------------------------------------
    def claim(self, pid: int) -> None:
        """Take the slot for a process: its gauges begin at 0, counters go on."""
        self.release()
        self._header.used_slots = max(self._header.used_slots, self.index + 1)  # first: readers look no further
        self.pid = pid

    def adopt(self, pid: int) -> None:
        """Take the slot that the master has claimed for this worker; what the master has written in it stays."""
        self.pid = pid

    def release(self) -> None:
        """Free the slot, whose worker doesn't run. Scratch area and refusals stay: counters never go backwards."""
        self.pid = self.ready = self.wants_replacement = self.retired = self.closing = self.cleaning_up = 0
        self.in_flight = self.waiting = self.connections = self.shutdown_report_length = 0
        self.unready_at = self.sampled_at = 0.0
        self.tracked_since[:] = [0.0] * layout.TRACKED_ENTRIES

    # --- what its worker says of itself ---------------------------------------------------------------------------
    def accepting(self) -> None:
        self.ready = 1

    def ask_for_replacement(self) -> None:
        self.wants_replacement = 1

    def retire(self) -> None:
        """Called by the master."""
        self.retired = 1

    def begin_closing(self) -> None:
        self.closing = 1

    def begin_cleanup(self) -> None:
        self.cleaning_up = 1

    def show_unready(self, unready: bool) -> None:
        """Show the other workers whether the health checks of this one fail."""
        self.unready_at = time.monotonic() if unready else 0.0

    # --- requests -------------------------------------------------------------------------------------------------
    def count(self, change: int, *, limit: int | None = None) -> bool:
        """Add to the requests in flight; False, and one more refusal, if that would exceed `limit`."""
        with self._lock:
            new = self.in_flight + change
            if limit is not None and new > limit:
                self.refused += 1
                return False
            self.in_flight = new
            return True

    def wait(self, change: int) -> None:
        """Add to the requests in flight that are waiting for their turn."""
        with self._lock:
            self.waiting += change

    def refuse(self) -> None:
        """One more refusal."""
        with self._lock:
            self.refused += 1

    # --- tracked work ---------------------------------------------------------------------------------------------
    def track(self, name: str) -> int | None:
        """Show tracked work under the first 56 bytes of `name`; the number of its entry, or None if all are taken."""
        with self._lock:
            started = self.tracked_since
            for entry in range(layout.TRACKED_ENTRIES):
                if not started[entry]:
                    self.tracked_names[entry].value = name.encode()[: layout.TRACKED_NAME_BYTES]
                    started[entry] = time.monotonic()  # last: it makes the entry valid
                    return entry
        return None

    def untrack(self, entry: int | None) -> None:
        if entry is not None:
            self.tracked_since[entry] = 0.0

    def tracked(self) -> list[tuple[str, float]]:
        """(name, monotonic time of its start) of everything tracked."""
        found = []
        times = self.tracked_since
        for entry, started in enumerate(times[:]):
            if started:
                name = self.tracked_names[entry].value
                if times[entry] == started:  # otherwise it ended meanwhile, and the name may be another's
                    found.append((name.decode(errors="ignore"), started))
        return found

    # --- the dbpool's numbers -------------------------------------------------------------------------------------
    def publish(self, values: tuple[int, ...]) -> None:
        """Write the dbpool's numbers as one record, with the time."""
        with self._lock:
            self.sampled_at = 0.0
            self.sampled[:] = list(values)
            self.sampled_at = time.monotonic()

    def sample(self) -> tuple[float, tuple[int, ...]] | None:
        """The last record published, preceded by its monotonic time; None if there is none."""
        for _ in range(100):
            taken = self.sampled_at
            values = tuple(self.sampled[:])
            if taken and self.sampled_at == taken:
                return taken, values
            if not taken:
                time.sleep(0)  # never published, or being written right now
        return None

    # --- the report of a shutdown ---------------------------------------------------------------------------------
    def write_shutdown_report(self, report: dict[str, Any]) -> None:
        """Leave the worker's ShutdownReport for the master; if it takes more than 8 KiB as JSON, only its pid."""
        text = json.dumps(report).encode()
        if len(text) > layout.SHUTDOWN_REPORT_BYTES:
            logger.warning("shutdown: the report of worker %d is too long for the shared memory", self.pid)
            text = json.dumps({"pid": self.pid}).encode()
        self.shutdown_report_text[: len(text)] = list(text)
        self.shutdown_report_length = len(text)

    def shutdown_report(self) -> dict[str, Any] | None:
        """What `write_shutdown_report` left; None if it left nothing."""
        if self.shutdown_report_length:
            with suppress(ValueError):  # killed while it wrote
                return dict(json.loads(bytes(self.shutdown_report_text[: self.shutdown_report_length])))
        return None

    # --- counters -------------------------------------------------------------------------------------------------
    def scratch(self) -> memoryview:
        """256 KiB, zeroes at first, for counters; kept when the worker restarts, and written only by this worker.

        Cast it to the type that you count in.
        """
        return memoryview(self.scratch_area).cast("B")
