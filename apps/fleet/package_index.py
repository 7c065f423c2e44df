"""Keeps the index of packages: which states have which package version. It must not know what is asked of it.

Only states that some endpoint is in now are indexed, in segments of up to 256; a segment is written once and never
changed. Few new states wait, and are read one by one when somebody asks (`apps.fleet.package_holders`), so answers
never depend on how far the index is. A segment that is half empty, because endpoints moved on, is rebuilt
together with what waits. All writes are in one transaction of one process at a time (`alone`).
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, QuerySet

from apps.lifecycle.work.chores import run_exclusively

from . import states
from .content_lock import share_content
from .exceptions import Conflict
from .models import Endpoint, IndexSegment, Posting, State

logger = logging.getLogger(__name__)

CHORE = "package_index"
SEGMENT = 256
"""The states of a segment: the bits of a posting."""
WAITING = 64
"""The states that wait before they get a segment: a question reads them in a few milliseconds."""
AT_ONCE = 4
"""The segments that one transaction writes at most: about half a second of work."""
PATIENCE = 60.0
"""Seconds that a rebuild waits for its turn before each transaction."""


def refresh(least: int | None = None) -> int:
    """Index what waits, if `least` (WAITING) states do, and join sparse segments. Returns how many states.

    One transaction. A chore's step; every other caller goes through `alone`.
    """
    with transaction.atomic():
        share_content()  # nothing that is read here is removed meanwhile, and retention never waits for a row of ours
        live = _live()
        _drop([segment for segment, count in live.items() if not count])
        sparse = sorted(segment for segment, count in live.items() if 0 < count <= SEGMENT // 2)
        room = SEGMENT * AT_ONCE
        waiting = _digests(_current().filter(segment=None), room)
        if len(waiting) < (WAITING if least is None else least) and len(sparse) < 2:
            return 0
        joined, room = [], room - len(waiting)
        for segment in sparse:
            if live[segment] <= room:
                joined.append(segment)
                room -= live[segment]
        return _write([*_dissolved(joined), *waiting])  # of none waiting and none joined: 0


def rebuild(progress: Callable[[int], object] = lambda written: None) -> int:
    """Rebuild the whole index, one transaction after the other. Returns how many states. Safe while others work.

    Questions are answered exactly all the time: a state is in its old segment or in its new one. `progress` gets how
    many states were rebuilt so far. Raises Conflict when others have the index for PATIENCE seconds.
    """
    newest = IndexSegment.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    written = 0
    alone(_forget_strays)
    while count := alone(lambda: _renew(newest)):
        written += count
        progress(written)
    # What waits is indexed as well. What comes meanwhile may wait: otherwise this would never end under load.
    while alone(lambda: refresh(least=1)) >= SEGMENT * AT_ONCE:
        pass
    return _current().filter(segment__isnull=False).count()


def alone(step: Callable[[], int]) -> int:
    """`step`'s result, run while no other process writes the index. Raises Conflict after PATIENCE seconds."""
    results: list[int] = []
    deadline = time.monotonic() + PATIENCE
    while not run_exclusively(CHORE, lambda: results.append(step())):
        if time.monotonic() > deadline:
            raise Conflict(
                f"The index of packages is being written by another process for {PATIENCE:g} s. Try again later; "
                "what was done so far stays."
            )
        time.sleep(0.1)
    return results[0]


def _renew(newest: int) -> int:
    """Rebuild the segments up to number `newest`, a few of them. Returns how many states they have."""
    with transaction.atomic():
        share_content()
        old = IndexSegment.objects.filter(pk__lte=newest).order_by("pk")
        segments = list(old.values_list("pk", flat=True)[:AT_ONCE])
        written = _write(_dissolved(segments))
    if written or not segments:
        return written
    return _renew(newest)  # these had nothing that is still in use


def _forget_strays() -> int:
    """Let states whose segment isn't there wait again, and remove postings of such segments. None is ever expected."""
    with transaction.atomic():
        share_content()
        known = IndexSegment.objects.filter(pk=OuterRef("segment"))
        lost = State.objects.filter(~Exists(known), segment__isnull=False).update(segment=None, slot=None)
        removed, _ = Posting.objects.filter(~Exists(known)).delete()
    if lost or removed:
        logger.warning("the index of packages had %d states and %d postings of no segment", lost, removed)
    return lost


def _current() -> "QuerySet[State]":
    """The states that an endpoint is in now."""
    return State.objects.filter(Exists(Endpoint.objects.filter(state=OuterRef("pk"))))


def _live() -> dict[int, int]:
    """How many states of each segment are in use; every segment is there, even with 0."""
    live = dict.fromkeys(IndexSegment.objects.values_list("pk", flat=True), 0)
    for segment in _current().filter(segment__isnull=False).values_list("segment", flat=True):
        if segment in live:
            live[segment] += 1
    return live


def _digests(found: "QuerySet[State]", most: int) -> list[str]:
    return list(found.order_by("pk").values_list("pk", flat=True)[:most])


def _dissolved(segments: Sequence[int]) -> list[str]:
    """Take these segments out of the index; the digests of their states that are still in use."""
    if not segments:
        return []
    left = list(_current().filter(segment__in=segments).order_by("pk").values_list("pk", flat=True))
    _drop(segments)
    return left


def _drop(segments: Sequence[int]) -> None:
    if segments:
        State.objects.filter(segment__in=segments).update(segment=None, slot=None)
        Posting.objects.filter(segment__in=segments)._raw_delete("default")
        IndexSegment.objects.filter(pk__in=segments).delete()


def _write(digests: Sequence[str]) -> int:
    """Write new segments of these states. Returns how many states."""
    for start in range(0, len(digests), SEGMENT):
        _write_segment(digests[start : start + SEGMENT])
    return len(digests)


def _write_segment(digests: Sequence[str]) -> None:
    segment = IndexSegment.objects.create(states=len(digests)).pk
    packed: dict[str, bytes | memoryview] = {}
    for chunk in states.chunks(digests):
        packed.update(State.objects.filter(pk__in=chunk).values_list("pk", "packages"))
    found = postings(packed[digest] for digest in digests)
    _place(segment, digests)
    _insert(segment, found)


def postings(packed: Iterable["bytes | memoryview"]) -> dict[int, int]:
    """For each package version's key the slots of the states that have it, as the bits of a number.

    The slot of a state is its place among `packed`, rows' `packages`.
    """
    found: dict[int, int] = {}
    known = found.get
    for slot, packages in enumerate(packed):
        bit = 1 << slot
        for value in states.unpack(packages):
            version = value >> 1
            found[version] = known(version, 0) | bit
    return found


def _place(segment: int, digests: Sequence[str]) -> None:
    table = connection.ops.quote_name(State._meta.db_table)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                f"UPDATE {table} SET segment = %s, slot = placed.slot"  # noqa: S608 - our own table
                " FROM unnest(%s::text[], %s::int[]) AS placed(digest, slot)"
                f" WHERE {table}.digest = placed.digest",
                [segment, list(digests), list(range(len(digests)))],
            )
        else:
            rows = [(segment, slot, digest) for slot, digest in enumerate(digests)]
            cursor.executemany(f"UPDATE {table} SET segment = %s, slot = %s WHERE digest = %s", rows)  # noqa: S608


def _insert(segment: int, found: dict[int, int]) -> None:
    """Without the ORM: some thousand rows, in the order of their versions."""
    table = connection.ops.quote_name(Posting._meta.db_table)
    versions = sorted(found)
    bits = [found[version].to_bytes(SEGMENT // 8, "little") for version in versions]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            rows = "SELECT version, %s, bits FROM unnest(%s::int[], %s::bytea[]) AS found(version, bits)"
            cursor.execute(f"INSERT INTO {table} (version, segment, bits) {rows}", [segment, versions, bits])
        else:
            into = f"INSERT INTO {table} (version, segment, bits) VALUES (%s, %s, %s)"  # noqa: S608
            cursor.executemany(into, [(version, segment, one) for version, one in zip(versions, bits, strict=True)])
