"""The checker: what becomes of a check that fails, hangs or comes late; who wakes it; how many threads it makes."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from health_check import HealthCheck
from health_check.exceptions import ServiceWarning

from apps.health import checker as checker_module
from apps.health.checker import Checker
from apps.health.checks import MigrationsPending, NotInitialized, Registered, Role
from apps.health.results import Status
from tests.support.wait import until


@dataclass
class Script(HealthCheck):  # type: ignore[misc]
    """A check that does what the test tells it: `action` is called at each run."""

    action: Callable[[], None] = field(default=lambda: None, repr=False)
    timeout: timedelta = field(default=timedelta(seconds=0.1), repr=False)
    runs: int = field(default=0, repr=False)

    def run(self) -> None:
        self.runs += 1
        self.action()


@dataclass
class Asynchronous(HealthCheck):  # type: ignore[misc]
    async def run(self) -> None:
        raise ServiceWarning("from a coroutine")


class Gate:
    """An action that hangs until `open()`."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.entered = threading.Semaphore(0)

    def __call__(self) -> None:
        self.entered.release()
        self.event.wait(30)

    def open(self) -> None:
        self.event.set()


def fail(error: Exception) -> Callable[[], None]:
    def action() -> None:
        raise error

    return action


def registered(check: Any, role: Role = Role.DATABASE, name: str = "database") -> Registered:
    return Registered(name, check, role, needs_database=role is not Role.DATABASE)


@pytest.fixture
def running() -> Iterator[Callable[..., Checker]]:
    """Makes checkers that are stopped at the end."""
    made: list[Checker] = []

    def start(*checks: Registered, interval: float = 60) -> Checker:
        made.append(Checker(interval=interval, checks=checks))
        made[-1].start()
        return made[-1]

    yield start
    for checker in made:
        checker.stop(5)


@pytest.mark.parametrize(
    ("error", "status", "problem"),
    [
        (RuntimeError("secret"), Status.UNHEALTHY, "failed"),
        (NotInitialized("x"), Status.NOT_INITIALIZED, "not_initialized"),
        (MigrationsPending("x"), Status.UNHEALTHY, "migrations_pending"),
        (ServiceWarning("x"), Status.DEGRADED, "warning"),
    ],
)
def test_check_that_raises_becomes_an_outcome(error: Exception, status: Status, problem: str) -> None:
    checker = Checker(interval=1, checks=[registered(Script(fail(error)))])
    checker.step()
    outcome = checker.snapshot.outcomes["database"]
    assert (outcome.status, outcome.problem) == (status, problem)
    assert "secret" not in repr(checker.snapshot)


def test_check_that_is_a_coroutine_is_awaited() -> None:
    checker = Checker(interval=1, checks=[registered(Asynchronous())])
    checker.step()
    assert checker.snapshot.outcomes["database"].status is Status.DEGRADED


def test_readiness_reasons_in_their_order() -> None:
    database, migrations, manager = Script(), Script(), Script()
    checker = Checker(
        interval=1,
        checks=[
            registered(database),
            registered(migrations, Role.MIGRATIONS, "migrations"),
            registered(manager, Role.DEPENDENCY, "pool_manager"),
        ],
    )
    assert checker.current().readiness.reason == "starting"
    manager.action = fail(NotInitialized("x"))
    checker.step()
    readiness = checker.current().readiness
    assert readiness.reason == "dependencies_not_ready"
    assert dict(readiness.dependencies) == {"pool_manager": "not_initialized"}
    migrations.action = fail(MigrationsPending("x"))
    checker.step()
    assert checker.current().readiness.reason == "migrations_pending"
    database.action = fail(OSError("x"))
    checker.step()
    assert checker.current().readiness.reason == "database_unhealthy"
    for script in (database, migrations, manager):
        script.action = lambda: None
    checker.step()
    assert checker.current().readiness.reason == ""


def test_information_that_fails_leaves_readiness_alone() -> None:
    checker = Checker(interval=1, checks=[registered(Script(fail(OSError())), Role.INFORMATION, "x")])
    checker.step()
    assert checker.current().readiness.reason == ""
    assert checker.current().status is Status.DEGRADED


def test_broken_database_spares_the_checks_that_need_it() -> None:
    manager = Script()
    checker = Checker(
        interval=1,
        checks=[registered(Script(fail(OSError()))), registered(manager, Role.DEPENDENCY, "pool_manager")],
    )
    checker.step()
    assert manager.runs == 0
    assert checker.current().effective["pool_manager"].problem == "database_unhealthy"


def test_check_past_its_limit_is_unhealthy_while_it_hangs(running: Callable[..., Checker]) -> None:
    gate = Gate()
    script = Script()
    checker = running(registered(script))
    until(lambda: checker.snapshot.complete)
    assert checker.ask().readiness.reason == ""
    script.action = gate
    checker.wake()
    assert gate.entered.acquire(timeout=10)
    until(lambda: checker.ask().readiness.reason == "database_unhealthy", 5)
    assert checker.ask().effective["database"].problem == "timed_out"
    script.action = lambda: None
    gate.open()
    until(lambda: checker.ask().readiness.reason == "")


def test_check_that_hangs_at_the_start_ends_starting(running: Callable[..., Checker]) -> None:
    gate = Gate()
    checker = running(registered(Script(gate)))
    assert gate.entered.acquire(timeout=10)
    until(lambda: checker.ask().readiness.reason == "database_unhealthy", 5)
    gate.open()


def test_check_that_came_late_is_unhealthy_though_it_returned() -> None:
    checker = Checker(interval=1, checks=[registered(Script(lambda: time.sleep(0.15)))])
    checker.step()
    assert checker.snapshot.outcomes["database"].problem == "timed_out"


def test_checker_asked_often_runs_one_round_at_a_time(running: Callable[..., Checker]) -> None:
    script = Script()
    checker = running(registered(script))
    until(lambda: checker.snapshot.complete)
    end = time.monotonic() + 1.2
    while time.monotonic() < end:
        checker.wake()
        checker.ask()
    assert 2 <= script.runs <= 5


def test_checker_not_asked_waits_for_its_interval(running: Callable[..., Checker]) -> None:
    script = Script()
    checker = running(registered(script))
    until(lambda: checker.snapshot.complete)
    time.sleep(0.7)
    assert script.runs == 1


def test_checker_with_something_wrong_looks_again_by_itself(
    running: Callable[..., Checker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checker_module, "RETRY", 0.05)
    script = Script(fail(OSError()))
    checker = running(registered(script))
    until(lambda: script.runs >= 2)
    script.action = lambda: None
    until(lambda: checker.current().readiness.reason == "")


def test_stuck_threads_are_bounded_and_their_late_results_do_not_count(
    running: Callable[..., Checker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checker_module, "SECOND_TRY", 0.05)
    first, second = Gate(), Gate()
    script = Script(first)
    checker = running(registered(script))
    assert first.entered.acquire(timeout=10)
    script.action = second
    until(lambda: checker.ask() is not None and second.entered.acquire(blocking=False))
    for _ in range(50):
        assert checker.ask().readiness.reason == "database_unhealthy"
        time.sleep(0.01)
    assert script.runs == checker_module.MAX_THREADS
    first.open()  # the one that was given up comes back, and finds that it is not wanted
    until(lambda: checker._threads == 1)
    assert checker.ask().readiness.reason == "database_unhealthy"
    script.action = lambda: None
    second.open()
    until(lambda: checker.ask().readiness.reason == "")


def test_history_keeps_the_last_outcomes_only() -> None:
    checker = Checker(interval=1, checks=[registered(Script())])
    for _ in range(checker_module.HISTORY + 5):
        checker.step()
    assert len(checker.history["database"]) == checker_module.HISTORY


def test_error_of_a_check_is_logged_once_for_each_change(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    script = Script(fail(OSError("the cause")))
    checker = Checker(interval=1, checks=[registered(script)])
    for _ in range(3):
        checker.step()
    script.action = lambda: None
    checker.step()
    assert caplog.text.count("the cause") == 1
    assert [record.levelname for record in caplog.records if record.name == checker_module.__name__] == [
        "WARNING",
        "INFO",
    ]


def die() -> None:
    raise SystemExit


def is_stalled(checker: Checker) -> bool:
    found = checker.ask()
    return (found.readiness.reason, found.status) == ("checker_stalled", Status.UNHEALTHY)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_checker_whose_thread_dies_each_time_is_stalled_until_a_round_is_done(
    running: Callable[..., Checker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checker_module, "RETRY", 0.05)
    script = Script()
    checker = running(registered(script))
    until(lambda: checker.snapshot.complete)
    assert checker.ask().readiness.reason == ""
    script.action = die
    checker.wake()
    until(lambda: checker._threads == 0)
    until(lambda: is_stalled(checker))
    assert checker.current().effective["database"].problem == "checker_stalled"
    until(lambda: checker.ask() is not None and script.runs >= 4)  # probes start another thread, and another
    assert is_stalled(checker)
    script.action = lambda: None
    until(lambda: checker.ask().readiness.reason == "")
    assert checker._threads == 1


def test_checker_that_does_not_answer_to_its_wake_up_is_stalled(
    running: Callable[..., Checker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checker_module, "ANSWER", 0.2)
    gate = Gate()
    checker = running(registered(Script()))
    until(lambda: checker.snapshot.complete)
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
    monkeypatch.setattr(checker_module, "ANSWER", 0.2)
    monkeypatch.setattr(checker_module, "SECOND_TRY", 0.2)
    gate = Gate()
    checker = running(registered(Script()))
    until(lambda: checker.snapshot.complete)
    checker._observe = lambda name, outcome: gate()
    checker.wake()
    assert gate.entered.acquire(timeout=10)
    checker._observe = None
    until(lambda: is_stalled(checker))
    until(lambda: checker.ask().readiness.reason == "")  # by the rival
    assert checker._threads == 2
    gate.open()


def test_checker_idle_and_not_asked_is_not_stalled(
    running: Callable[..., Checker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative twin: nobody woke it, so nothing is owed."""
    monkeypatch.setattr(checker_module, "ANSWER", 0.05)
    checker = running(registered(Script()))
    until(lambda: checker.snapshot.complete)
    time.sleep(0.3)
    assert checker.current().readiness.reason == ""


def test_round_that_breaks_off_is_stalled_until_one_is_whole(
    running: Callable[..., Checker], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(checker_module, "RETRY", 0.05)

    def break_off(name: str, outcome: Any) -> None:
        raise RuntimeError("no room")

    checker = running(registered(Script()))
    until(lambda: checker.snapshot.complete)
    checker._observe = break_off
    checker.wake()
    until(lambda: is_stalled(checker))
    assert "a round of the health checks broke off" in caplog.text
    checker._observe = None
    until(lambda: checker.ask().readiness.reason == "")


def test_await_round_old_result_waits_for_the_next_one(running: Callable[..., Checker]) -> None:
    script = Script()
    checker = running(registered(script))
    until(lambda: checker.snapshot.complete and not checker.fresh)
    script.action = fail(OSError("x"))
    checker.await_round(10)
    assert checker.current().readiness.reason == "database_unhealthy"


def test_await_round_check_that_hangs_is_not_waited_for(running: Callable[..., Checker]) -> None:
    gate = Gate()
    checker = running(registered(Script(gate)))
    assert gate.entered.acquire(timeout=10)
    began = time.monotonic()
    checker.await_round(0.05)
    until(lambda: checker.ask().readiness.reason == "database_unhealthy")
    checker.await_round(20)  # it is past its limit: there is nothing to wait for
    assert time.monotonic() - began < 10
    gate.open()


def test_error_of_the_database_is_one_line_with_its_text(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    checker = Checker(interval=1, checks=[registered(Script(fail(OperationalError("refused\n\tIs it running?"))))])
    checker.step()
    (record,) = [record for record in caplog.records if record.name == checker_module.__name__]
    assert record.getMessage() == "health check database: unhealthy failed: refused Is it running?"
    assert record.exc_info is None


def test_error_of_the_code_keeps_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    checker = Checker(interval=1, checks=[registered(Script(fail(KeyError("x"))))])
    checker.step()
    assert caplog.records[0].exc_info is not None
