"""Background loops: who runs them, when they don't, that a failure doesn't end them."""

import logging
import threading
from collections.abc import Iterator

import pytest
from django.db import OperationalError, ProgrammingError

from apps.lifecycle import shutdown
from apps.lifecycle.shared_memory import memory
from apps.lifecycle.shared_memory.memory import Memory
from apps.lifecycle.work import loops
from apps.lifecycle.work.loops import Loop


@pytest.fixture(autouse=True)
def nothing_registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(loops._state, "loops", {})
    yield
    loops.stop(5)


def test_loop_due_only_in_the_leading_worker(own_memory: Memory) -> None:
    own_memory.slot(1).claim(2)
    one, every = Loop("one", 1, print), Loop("every", 1, print, everywhere=True)
    assert (one.due(), every.due()) == (True, True)
    memory.install(own_memory, slot=1)
    assert (one.due(), every.due()) == (False, True)


def test_loop_due_not_while_draining_unless_it_says_so(own_memory: Memory) -> None:
    chore, heartbeat = Loop("chore", 1, print), Loop("heartbeat", 1, print, while_draining=True)
    shutdown.begin(15, 10)
    assert (chore.due(), heartbeat.due()) == (False, True)
    shutdown.stop()
    assert (chore.due(), heartbeat.due()) == (False, False)


def test_loop_registered_does_not_run_before_start(own_memory: Memory) -> None:
    ran = threading.Event()
    loops.register("early", 0.01, ran.set)
    assert not ran.wait(0.1)
    loops.start()
    assert ran.wait(5)


def test_loop_woken_does_its_step_before_the_interval_ends(own_memory: Memory) -> None:
    steps = threading.Semaphore(0)
    loops.register("slow", 3600, steps.release)
    loops.start()
    assert steps.acquire(timeout=5)
    loops.run_now("slow")
    assert steps.acquire(timeout=5)
    loops.run_now("nobody")


def test_loop_failing_step_is_logged_and_it_goes_on(own_memory: Memory, caplog: pytest.LogCaptureFixture) -> None:
    errors = iter([OperationalError("connection refused\nmore"), ValueError("oops")])
    done = threading.Event()

    def step() -> None:
        error = next(errors, None)
        if error:
            raise error
        done.set()

    with caplog.at_level(logging.WARNING):
        loops.register("failing", 0.01, step)
        loops.start()
        assert done.wait(5)
    first, second = caplog.records[:2]
    assert first.getMessage().endswith("the database: connection refused") and first.exc_info is None
    assert second.exc_info is not None


def test_loop_same_error_of_the_database_is_one_line_until_it_works_again(
    own_memory: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    errors: list[Exception | None] = [
        *[ProgrammingError("no such table")] * 3,
        OperationalError("refused"),
        OperationalError("no database connection can be made at the moment"),
        None,
        OperationalError("refused"),
    ]

    def step() -> None:
        error = errors.pop(0)
        if error:
            raise error

    loop = Loop("failing", 1, step)
    with caplog.at_level(logging.INFO):
        while errors:
            loop.guarded_step()
    assert [record.getMessage().removeprefix("background loop failing") for record in caplog.records] == [
        ": the database: no such table",
        ": the database: refused",
        " works again",
        ": the database: refused",
    ]
    assert not any(record.exc_info for record in caplog.records)


def test_stop_does_not_wait_for_a_stuck_step(own_memory: Memory) -> None:
    began, release = threading.Event(), threading.Event()
    loops.register("stuck", 1, lambda: (began.set(), release.wait(10)))
    loops.start()
    assert began.wait(5)
    loops.stop(0.05)
    (stuck,) = [thread for thread in threading.enumerate() if thread.name == "loop-stuck"]
    release.set()
    stuck.join(5)
    assert not stuck.is_alive()
