"""The phases in their order, and that an undone drain can't undo a signal."""

import time

import pytest

from apps.lifecycle import shutdown
from apps.lifecycle.shared_memory import memory, phase
from apps.lifecycle.shared_memory.memory import Memory
from apps.lifecycle.shared_memory.phase import Phase


def test_phase_goes_from_starting_to_stopping(own_memory: Memory) -> None:
    seen = [phase.current()]
    for step in (phase.serve, lambda: shutdown.begin(15, 10), shutdown.stop):
        step()
        seen.append(phase.current())
        assert phase.began(own_memory) == pytest.approx(time.monotonic(), abs=5)
    assert seen == [Phase.STARTING, Phase.SERVING, Phase.DRAINING, Phase.STOPPING]


def test_drain_undone_after_a_signal_still_drains(own_memory: Memory) -> None:
    phase.serve()
    own_memory.header.drain_requested_at = time.monotonic()
    assert phase.current() is Phase.DRAINING and phase.leaving()
    own_memory.header.drain_requested_at = 0
    assert phase.current() is Phase.SERVING and not phase.leaving()
    own_memory.header.drain_requested_at = time.monotonic()
    shutdown.begin(15, 10)
    own_memory.header.drain_requested_at = 0
    assert phase.current() is Phase.DRAINING


def test_begin_twice_the_first_signal_counts(own_memory: Memory) -> None:
    shutdown.begin(15, 10)
    deadline = own_memory.header.deadline
    shutdown.begin(2, 99)
    assert own_memory.header.deadline == deadline
    assert own_memory.header.signal == 15


def test_status_none_while_serving_then_names_what_is_waited_for(own_memory: Memory) -> None:
    phase.serve()
    assert shutdown.status() is None
    memory.mine().track("sync_operation")
    memory.mine().count(2)
    shutdown.begin(15, 10)
    status = shutdown.status()
    assert status is not None
    assert (status.phase, status.signal) == (Phase.DRAINING, "SIGTERM")
    assert status.waiting_for == {"sync_operation": 1, "requests": 2}
    assert status.deadline == pytest.approx(time.time() + 10, abs=5)


def test_status_drain_without_signal_has_no_deadline(own_memory: Memory) -> None:
    phase.serve()
    own_memory.header.drain_requested_at = time.monotonic()
    status = shutdown.status()
    assert status is not None
    assert (status.signal, status.deadline) == ("", None)
