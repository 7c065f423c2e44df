"""The shared memory: slots, records that are never torn, what survives a worker and what doesn't."""

import os
import signal
import threading
import time

import pytest

from apps.lifecycle import memory
from apps.lifecycle.board import DbpoolSample, snapshot
from apps.lifecycle.memory import Memory, Slot


def test_slot_claimed_lowest_free_one_is_next(own_board: Memory) -> None:
    assert own_board.free_slot().index == 1
    Slot(own_board, 1).claim(1)
    Slot(own_board, 2).claim(2)
    Slot(own_board, 1).release()
    assert own_board.free_slot().index == 1
    assert [slot.index for slot in own_board.live()] == [0, 2]


def test_slots_all_taken_lookup_error(own_board: Memory) -> None:
    for slot in own_board.slots():
        slot.claim(1)
    with pytest.raises(LookupError):
        own_board.free_slot()


def test_release_gauges_are_wiped_counters_and_scratch_stay(own_board: Memory) -> None:
    slot = Slot(own_board, 1)
    slot.claim(7)
    slot.track("sync")
    slot.publish((1, 2, 3, 4, 5, 6, 7, 8))
    assert slot.count(1)
    assert not slot.count(1, limit=1)
    slot.scratch()[:3] = b"abc"
    slot.claim(8)
    assert (slot.in_flight, slot.tracked(), slot.sample()) == (0, [], None)
    assert slot.refused == 1
    assert bytes(slot.scratch()[:3]) == b"abc"
    assert bytes(Slot(own_board, 0).scratch()[:3]) == b"\0\0\0"


def test_leads_lowest_slot_that_stays(own_board: Memory) -> None:
    Slot(own_board, 1).claim(2)
    assert memory.leads()
    memory.mine().leave()
    assert not memory.leads()
    memory.install(own_board, slot=1)
    assert memory.leads()


def test_track_more_than_fits_the_rest_is_not_named(own_board: Memory) -> None:
    entries = [memory.mine().track(f"work {number}") for number in range(memory.TRACKED_ENTRIES + 1)]
    assert entries[-1] is None
    memory.mine().untrack(entries[-1])
    assert len(memory.mine().tracked()) == memory.TRACKED_ENTRIES


def test_track_long_unicode_name_is_cut_at_a_character(own_board: Memory) -> None:
    memory.mine().track("ü" * 100)
    assert [name for name, _ in memory.mine().tracked()] == ["ü" * 28]
    memory.mine().track("x" + "ü" * 100)
    assert memory.mine().tracked()[1][0] == "x" + "ü" * 27


def test_sample_read_while_written_is_never_torn(own_board: Memory) -> None:
    slot, stop = memory.mine(), threading.Event()
    slot.publish((0,) * 8)

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            slot.publish((number,) * 8)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = [slot.sample() for _ in range(3000)]
    finally:
        stop.set()
        writer.join()
    values = [sample[1] for sample in seen if sample]
    assert len(values) > 2000
    assert all(len(set(value)) == 1 for value in values)


def test_report_written_by_a_child_is_read_by_its_parent(own_board: Memory) -> None:
    child = os.fork()
    if child == 0:
        Slot(own_board, 1).claim(os.getpid())
        Slot(own_board, 1).write_report({"abandoned": {"sync": 1}})
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert Slot(own_board, 1).pid == child
    assert Slot(own_board, 1).report() == {"abandoned": {"sync": 1}}


def test_report_too_long_says_so(own_board: Memory) -> None:
    memory.mine().write_report({"text": "x" * 10_000})
    assert memory.mine().report() == {"truncated": True}


def test_snapshot_sums_over_workers_and_forgets_the_dead(own_board: Memory) -> None:
    for index in (0, 1):
        slot = Slot(own_board, index)
        slot.claim(100 + index)
        slot.count(2)
        slot.publish((3, 2, 1, 0, 1, 4, 0, 0))
    Slot(own_board, 0).track("sync")
    present = snapshot()
    assert [worker.pid for worker in present.workers] == [100, 101]
    assert present.in_flight == 4
    assert present.dbpool == DbpoolSample(size=6, idle=4, active=2, waiting=0, min_size=2, max_size=8)
    assert present.workers[0].sampled == pytest.approx(time.time(), abs=5)
    assert present.tracked[0][0] == "sync" and present.tracked[0][1] == pytest.approx(time.time(), abs=5)
    Slot(own_board, 1).release()
    assert snapshot().in_flight == 2


def test_instances_findable_board_is_attached_by_another_mapping() -> None:
    board = Memory.create(workers=2, port=4242, findable=True)
    found = [other for pid, other in memory.instances() if other.integers[memory.PORT] == 4242]
    assert [other.identity for other in found] == [board.identity]
    found[0].floats[memory.DRAIN_REQUESTED_AT] = 5.0
    assert board.floats[memory.DRAIN_REQUESTED_AT] == 5.0


def test_instances_of_another_layout_are_left_out() -> None:
    board = Memory.create(workers=1, port=4343, findable=True)
    board.integers[memory.MAGIC_AT] = 1
    assert 4343 not in [other.integers[memory.PORT] for _, other in memory.instances()]
