"""A checker that does no rounds any more, for whatever reason: it says so, and goes on when it can."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import OperationalError

from apps.health.checking import checker as checker_module
from apps.health.checking.checker import Checker
from apps.health.checking.results import CheckStatus
from apps.health.checks.registered import RegisteredCheck
from tests.health.scripted_checks import Gate, Script, fail, registered
from tests.support.wait import until


def die() -> None:
    raise SystemExit


def is_stalled(checker: Checker) -> bool:
    found = checker.ask()
    return (found.readiness.reason, found.status) == ("checker_stalled", CheckStatus.UNHEALTHY)


def test_checker_whose_thread_dies_each_time_is_stalled_until_a_round_is_done(
    running: Callable[..., Checker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checker_module, "RETRY", 0.05)
    script = Script()
    checker = running(registered(script))
    until(lambda: checker.results.complete)
    assert checker.ask().readiness.reason == ""
    script.action = die
    checker.wake()
    until(lambda: is_stalled(checker))
    assert checker.current().effective["database"].problem == "checker_stalled"
    until(lambda: checker.ask() is not None and script.runs >= 4)  # probes start another thread, and another
    assert is_stalled(checker)
    script.action = lambda: None
    until(lambda: checker.ask().readiness.reason == "")
    until(lambda: checker.rounds == 0)


def test_checker_that_does_not_answer_to_its_wake_up_is_stalled(
    running: Callable[..., Checker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checker_module, "BETWEEN", 0.2)
    gate = Gate()
    checker = running(registered(Script()))
    until(lambda: checker.results.complete)
    checker._after_round = lambda _: gate()  # it hangs between two rounds, where no check is in flight
    checker.wake()
    assert gate.entered.acquire(timeout=10)
    assert checker.ask().readiness.reason == ""
    until(lambda: is_stalled(checker))
    gate.open()
    checker._after_round = None
    until(lambda: checker.ask().readiness.reason == "")


def test_checker_that_hangs_within_a_round_is_stalled_and_gets_a_rival(
    running: Callable[..., Checker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checker_module, "BETWEEN", 0.2)
    monkeypatch.setattr(checker_module, "SECOND_TRY", 0.2)
    gate = Gate()
    checker = running(registered(Script()))
    until(lambda: checker.results.complete)
    checker._observe = lambda name, outcome: gate()
    checker.wake()
    assert gate.entered.acquire(timeout=10)
    checker._observe = None
    until(lambda: is_stalled(checker))
    until(lambda: checker.ask().readiness.reason == "")  # by the rival
    until(lambda: checker.rounds == 1)  # the one that hangs
    gate.open()


def test_probe_does_not_wait_for_what_hangs_after_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checker_module, "BETWEEN", 0.1)
    monkeypatch.setattr(checker_module, "FRESH", 0.1)
    gate = Gate()
    checker = Checker(interval=60, checks=[registered(Script())], after_round=lambda _: gate())
    checker.start()
    assert gate.entered.acquire(timeout=10)
    asking = threading.Thread(target=lambda: until(lambda: is_stalled(checker)), daemon=True)
    asking.start()
    asking.join(10)
    waits = asking.is_alive()
    gate.open()
    checker.stop(5)
    assert not waits


@pytest.fixture
def clockless() -> Iterator[Callable[..., Checker]]:
    """Makes checkers that nobody ticks, except the test itself, and that have done one round."""
    made: list[Checker] = []

    def start(*checks: RegisteredCheck) -> Checker:
        made.append(Checker(interval=60, checks=checks))
        made[-1].start()
        until(lambda: made[-1].results.complete and made[-1].rounds == 0)
        return made[-1]

    yield start
    for checker in made:
        checker.stop(5)


def refuse(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_round_without_a_thread_is_done_by_the_clock(
    clockless: Callable[..., Checker], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(checker_module, "PAUSE", 0)
    script = Script()
    checker = clockless(registered(script))
    runs = script.runs
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        for _ in range(3):
            checker.wake()
            assert checker.ask().readiness.reason == ""
            checker.tick()
        assert (script.runs, checker.rounds, checker.ask().readiness.reason) == (runs + 3, 0, "")
        script.action = fail(OperationalError("it is gone"))
        checker.wake()
        checker.tick()
        assert checker.ask().readiness.reason == "database_unhealthy"
        script.action = lambda: None
    assert caplog.text.count("no thread can be started for the health checks (can't start new thread)") == 1
    until(lambda: checker.ask().readiness.reason == "")


def test_round_without_a_thread_and_without_a_clock_is_stalled_until_there_is_one(
    clockless: Callable[..., Checker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checker_module, "BETWEEN", 0.1)
    monkeypatch.setattr(checker_module, "SECOND_TRY", 0.1)
    checker = clockless(registered(Script()))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        until(lambda: is_stalled(checker))
        assert checker.rounds == 1
    until(lambda: checker.ask().readiness.reason == "")
    until(lambda: checker.rounds == 0)


def test_stop_does_not_wait_for_a_round_without_a_thread(
    clockless: Callable[..., Checker], monkeypatch: pytest.MonkeyPatch
) -> None:
    checker = clockless(registered(Script()))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        until(lambda: checker.ask() is not None and checker.rounds == 1)
        checker.stop()
    assert checker.rounds == 0


def test_checker_idle_and_not_asked_is_not_stalled(
    running: Callable[..., Checker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative twin: nobody woke it, so nothing is owed."""
    monkeypatch.setattr(checker_module, "BETWEEN", 0.05)
    checker = running(registered(Script()))
    until(lambda: checker.results.complete)
    time.sleep(0.3)
    assert checker.current().readiness.reason == ""


def test_round_that_breaks_off_is_stalled_until_one_is_whole(
    running: Callable[..., Checker], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(checker_module, "RETRY", 0.05)

    def break_off(name: str, outcome: Any) -> None:
        raise RuntimeError("no room")

    checker = running(registered(Script()))
    until(lambda: checker.results.complete)
    checker._observe = break_off
    checker.wake()
    until(lambda: is_stalled(checker))
    until(lambda: "a round of the health checks broke off" in caplog.text)
    checker._observe = None
    until(lambda: checker.ask().readiness.reason == "")
