"""The phases in their order, and that an undone drain can't undo a signal."""

import time

import pytest

from apps.lifecycle import memory, phase, shutdown
from apps.lifecycle.memory import Memory
from apps.lifecycle.phase import Phase


def test_phase_goes_from_starting_to_stopping(own_board: Memory) -> None:
    seen = [phase.current()]
    for step in (phase.serve, lambda: shutdown.begin(15, 10), shutdown.stop):
        step()
        seen.append(phase.current())
        assert phase.since() == pytest.approx(time.time(), abs=5)
    assert seen == [Phase.STARTING, Phase.SERVING, Phase.DRAINING, Phase.STOPPING]


def test_drain_undone_after_a_signal_still_drains(own_board: Memory) -> None:
    phase.serve()
    own_board.floats[memory.DRAIN_REQUESTED_AT] = time.monotonic()
    assert phase.current() is Phase.DRAINING and phase.leaving()
    own_board.floats[memory.DRAIN_REQUESTED_AT] = 0
    assert phase.current() is Phase.SERVING and not phase.leaving()
    own_board.floats[memory.DRAIN_REQUESTED_AT] = time.monotonic()
    shutdown.begin(15, 10)
    own_board.floats[memory.DRAIN_REQUESTED_AT] = 0
    assert phase.current() is Phase.DRAINING


def test_begin_twice_the_first_signal_counts(own_board: Memory) -> None:
    shutdown.begin(15, 10)
    deadline = own_board.floats[memory.DEADLINE]
    shutdown.begin(2, 99)
    assert own_board.floats[memory.DEADLINE] == deadline
    assert own_board.integers[memory.SIGNAL] == 15


def test_status_none_while_serving_then_names_what_is_waited_for(own_board: Memory) -> None:
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


def test_status_drain_without_signal_has_no_deadline(own_board: Memory) -> None:
    phase.serve()
    own_board.floats[memory.DRAIN_REQUESTED_AT] = time.monotonic()
    status = shutdown.status()
    assert status is not None
    assert (status.signal, status.deadline) == ("", None)
