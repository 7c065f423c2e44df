"""The layout of the shared memory: one header, one slot per worker, and after them an area that every worker writes.

It must not know Django or what a field is used for. Three rules make it work without a lock between processes:

- A field has one writer: the master, the `drain` command, or the slot's own worker. There are four exceptions. The
  master resets the fields of a slot whose worker doesn't run; `pid` is written by the master when it claims the slot,
  and by the new worker right after the fork. Any worker may overwrite what is known about writes to the database, and
  any replaced worker `replaced_waits_until`, whatever was there before. The area after the slots has several writers;
  its users accept that an update is sometimes lost.
- A number has 8 bytes and starts at a multiple of 8. `ctypes` copies it with one instruction, so a reader never sees
  half of it.
- A record of several numbers has a time. The writer clears it first and sets it last; a reader compares it before and
  after.

Every time is on the clock of `time.monotonic()`, which all processes of a machine share. 0 means: it hasn't happened.
"""

import ctypes
from typing import Annotated, Final, TypeVar, get_args, get_type_hints

MAGIC: Final = 0x5041435359_0009  # "PACSY", and the version of this layout

NUMBER_BYTES: Final = 8
ADDRESS_BYTES: Final = 128
DBPOOL_NUMBERS: Final = 8
TRACKED_ENTRIES: Final = 64  # more threads than a worker has; work beyond them is waited for, but has no name
TRACKED_NAME_BYTES: Final = 56
SHUTDOWN_REPORT_BYTES: Final = 8192
SCRATCH_BYTES: Final = 256 * 1024  # a page of memory costs nothing until something is written to it
SHARED_AREA_BYTES: Final = 512 * 1024  # for apps/lifecycle/wsgi/address_rates.py

Integer = Annotated[int, ctypes.c_int64]
Flag = Annotated[int, ctypes.c_int64]  # 0 or 1
Seconds = Annotated[float, ctypes.c_double]
Bytes = ctypes.Array[ctypes.c_ubyte]
Record = TypeVar("Record", bound=type[ctypes.Structure])


def _record(structure: Record) -> Record:
    """Give the structure the fields that its annotations name, in their order."""
    hints = get_type_hints(structure, include_extras=True)
    structure._fields_ = [(name, get_args(hint)[1]) for name, hint in hints.items()]
    return structure


@_record
class Header(ctypes.Structure):
    """What is true of the whole instance. The master writes it, except where a comment names another writer."""

    magic: Integer  # the first field of every layout: it tells a process whether it knows the rest
    master: Integer  # process id
    slots: Integer
    used_slots: Integer  # the slots after these have never been claimed
    workers: Integer  # how many workers the instance is configured for
    port: Integer  # where the instance listens: HTTP_PORT, or what gunicorn's options or systemd say instead
    asked_port: Integer  # HTTP_PORT as the environment has it
    address: Annotated[bytes, ctypes.c_char * ADDRESS_BYTES]
    identity: Annotated[Bytes, ctypes.c_ubyte * 16]  # the instance's UUID
    started: Seconds
    serving_at: Seconds  # written by the worker that is ready first
    drain_requested_at: Seconds  # written by `manage.py drain`
    drain_delay: Seconds  # SHUTDOWN_DRAIN_DELAY, for `manage.py drain --wait`
    signal: Integer  # the number of the first signal to stop
    signal_at: Seconds
    stopping_at: Seconds
    deadline: Seconds  # the time by which the instance must have exited
    # Database connections (apps/lifecycle/dbpool/permits.py): how many all workers may have together (0: no limit), how
    # many the trial of a reload has, and until when it waits for one, both written by the trial; until when a worker
    # that has been replaced waits for one, written by any such worker.
    budget: Integer
    trial_connections: Integer
    trial_waits_until: Seconds
    replaced_waits_until: Seconds
    # Whether the database takes writes (apps/lifecycle/dbpool/write_state.py). Any worker writes these.
    writes_problem: Integer
    writes_doubted_at: Seconds


@_record
class SlotFields(ctypes.Structure):
    """What is true of one worker. That worker writes it, except where a comment names another writer."""

    pid: Integer  # written by the master, which claims and frees the slot, then by the new worker; 0: the slot is free
    ready: Flag  # it accepts connections
    wants_replacement: Flag  # it asks to be replaced, and serves until it is
    retired: Flag  # written by the master: the worker has been replaced and must end
    closing: Flag  # it has begun to take its last connections
    cleaning_up: Flag  # it has begun its cleanup: it leads nothing any more
    unready_at: Seconds  # when its health checks last failed; 0: they don't fail
    in_flight: Integer  # requests
    waiting: Integer  # those of them that wait for their turn
    refused: Integer  # requests that the bulkhead has refused since the instance started
    connections: Integer  # database connections that are open or being opened
    sampled_at: Seconds
    sampled: Annotated[ctypes.Array[ctypes.c_int64], ctypes.c_int64 * DBPOOL_NUMBERS]
    tracked_since: Annotated[ctypes.Array[ctypes.c_double], ctypes.c_double * TRACKED_ENTRIES]
    tracked_names: Annotated[
        ctypes.Array[ctypes.Array[ctypes.c_char]], (ctypes.c_char * TRACKED_NAME_BYTES) * TRACKED_ENTRIES
    ]
    shutdown_report_length: Integer
    shutdown_report_text: Annotated[Bytes, ctypes.c_ubyte * SHUTDOWN_REPORT_BYTES]
    scratch_area: Annotated[Bytes, ctypes.c_ubyte * SCRATCH_BYTES]


def slot_offset(index: int) -> int:
    """Where the slot begins, in bytes; for the number of slots, where the area of all workers begins."""
    return ctypes.sizeof(Header) + index * ctypes.sizeof(SlotFields)


def total_bytes(slots: int) -> int:
    return slot_offset(slots) + SHARED_AREA_BYTES
