"""The shared memory: slots, records that are never torn, what survives a worker and what doesn't."""

import os
import signal
import threading
import time

import pytest

from apps.lifecycle.gunicorn import master_hooks
from apps.lifecycle.shared_memory import discovery, layout, memory
from apps.lifecycle.shared_memory.memory import Memory
from apps.lifecycle.shared_memory.snapshots import DbpoolSample, snapshot
from apps.lifecycle.shutdown import ShutdownReport
from apps.lifecycle.work.cleanup import CleanupResult


def test_slot_claimed_lowest_free_one_is_next(own_memory: Memory) -> None:
    assert own_memory.free_slot().index == 1
    own_memory.slot(1).claim(1)
    own_memory.slot(2).claim(2)
    own_memory.slot(1).release()
    assert own_memory.free_slot().index == 1
    assert [slot.index for slot in own_memory.live()] == [0, 2]


def test_slot_claimed_others_look_no_further(own_memory: Memory) -> None:
    own_memory.slot(3).claim(1)
    assert own_memory.header.used_slots == 4
    own_memory.slot(3).release()
    own_memory.slot(1).claim(1)
    assert own_memory.header.used_slots == 4


def test_slots_all_taken_lookup_error(own_memory: Memory) -> None:
    for slot in own_memory.slots():
        slot.claim(1)
    with pytest.raises(LookupError):
        own_memory.free_slot()


def test_release_gauges_are_wiped_counters_and_scratch_stay(own_memory: Memory) -> None:
    slot = own_memory.slot(1)
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
    assert bytes(own_memory.slot(0).scratch()[:3]) == b"\0\0\0"


def test_leads_lowest_slot_that_stays(own_memory: Memory) -> None:
    own_memory.slot(1).claim(2)
    assert memory.leads()
    memory.mine().begin_cleanup()
    assert not memory.leads()
    memory.install(own_memory, slot=1)
    assert memory.leads()


def test_unready_worker_counts_until_it_is_replaced_or_cleans_up(own_memory: Memory) -> None:
    one, two = own_memory.slot(0), own_memory.slot(1)
    one.claim(1)
    two.claim(2)
    one.show_unready(True)
    assert own_memory.unready(60)
    one.retire()
    assert not own_memory.unready(60)
    two.show_unready(True)
    assert own_memory.unready(60)
    two.begin_cleanup()
    assert not own_memory.unready(60)


def test_track_more_than_fits_the_rest_is_not_named(own_memory: Memory) -> None:
    entries = [memory.mine().track(f"work {number}") for number in range(layout.TRACKED_ENTRIES + 1)]
    assert entries[-1] is None
    memory.mine().untrack(entries[-1])
    assert len(memory.mine().tracked()) == layout.TRACKED_ENTRIES


def test_track_long_unicode_name_is_cut_at_a_character(own_memory: Memory) -> None:
    memory.mine().track("ü" * 100)
    assert [name for name, _ in memory.mine().tracked()] == ["ü" * 28]
    memory.mine().track("x" + "ü" * 100)
    assert memory.mine().tracked()[1][0] == "x" + "ü" * 27


def test_sample_read_while_written_is_never_torn(own_memory: Memory) -> None:
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


def test_report_written_by_a_child_is_read_by_its_parent(own_memory: Memory) -> None:
    child = os.fork()
    if child == 0:
        own_memory.slot(1).claim(os.getpid())
        own_memory.slot(1).write_shutdown_report({"abandoned": {"sync": 1}})
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert own_memory.slot(1).pid == child
    assert own_memory.slot(1).shutdown_report() == {"abandoned": {"sync": 1}}


def test_report_too_long_is_still_a_report(own_memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    cleanup = tuple(CleanupResult("task", 1.0, "x" * 500) for _ in range(50))
    memory.mine().write_shutdown_report(ShutdownReport(4711, cleanup=cleanup).as_dict())
    monkeypatch.setattr(master_hooks.state, "reports", [])
    own_memory.header.stopping_at = time.monotonic()
    master_hooks._collect(memory.mine())
    assert master_hooks.state.reports == [ShutdownReport(4711)]


def test_snapshot_sums_over_workers_and_forgets_the_dead(own_memory: Memory) -> None:
    for index in (0, 1):
        slot = own_memory.slot(index)
        slot.claim(100 + index)
        slot.count(2)
        slot.publish((3, 2, 1, 0, 1, 4, 0, 0))
    own_memory.slot(0).track("sync")
    present = snapshot()
    assert [worker.pid for worker in present.workers] == [100, 101]
    assert present.in_flight == 4
    assert present.dbpool == DbpoolSample(size=6, idle=4, active=2, waiting=0, min_size=2, max_size=8)
    assert present.workers[0].sampled == pytest.approx(time.time(), abs=5)
    assert present.tracked[0][0] == "sync" and present.tracked[0][1] == pytest.approx(time.time(), abs=5)
    own_memory.slot(1).release()
    assert snapshot().in_flight == 2


def test_instances_findable_board_is_attached_by_another_mapping() -> None:
    shared = Memory.create(workers=2, port=4242, findable=True)
    found = [other for pid, other in discovery.instances() if other.header.port == 4242]
    assert [other.identity for other in found] == [shared.identity]
    found[0].header.drain_requested_at = 5.0
    assert shared.header.drain_requested_at == 5.0


def test_instances_of_another_layout_are_left_out() -> None:
    shared = Memory.create(workers=1, port=4343, findable=True)
    shared.header.magic = 1
    assert 4343 not in [other.header.port for _, other in discovery.instances()]


@pytest.mark.parametrize("workers", [1, 4, 8])
def test_memory_has_slots_for_a_reload_with_sixteen_workers(workers: int) -> None:
    assert Memory.create(workers=workers).header.slots >= 2 * 16
