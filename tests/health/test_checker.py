"""The checker: what becomes of a check that fails, hangs or comes late; who wakes it; how many threads it makes."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from django.db import OperationalError
from health_check import HealthCheck
from health_check.exceptions import ServiceWarning

from apps.health.checking import checker as checker_module
from apps.health.checking.checker import Checker
from apps.health.checking.results import CheckStatus
from apps.health.checks.exceptions import MigrationsPending, NotInitialized
from apps.health.checks.registered import Impact
from tests.health.scripted_checks import Gate, Script, fail, registered
from tests.support.wait import until


@dataclass
class Asynchronous(HealthCheck):  # type: ignore[misc]
    async def run(self) -> None:
        raise ServiceWarning("from a coroutine")


@pytest.mark.parametrize(
    ("error", "status", "problem"),
    [
        (RuntimeError("secret"), CheckStatus.UNHEALTHY, "failed"),
        (NotInitialized("x"), CheckStatus.NOT_INITIALIZED, "not_initialized"),
        (MigrationsPending("x"), CheckStatus.UNHEALTHY, "migrations_pending"),
        (ServiceWarning("x"), CheckStatus.DEGRADED, "warning"),
    ],
)
def test_check_that_raises_becomes_an_outcome(error: Exception, status: CheckStatus, problem: str) -> None:
    checker = Checker(interval=1, checks=[registered(Script(fail(error)))])
    checker.step()
    outcome = checker.results.outcomes["database"]
    assert (outcome.status, outcome.problem) == (status, problem)
    assert "secret" not in repr(checker.results)


def test_check_that_is_a_coroutine_is_awaited() -> None:
    checker = Checker(interval=1, checks=[registered(Asynchronous())])
    checker.step()
    assert checker.results.outcomes["database"].status is CheckStatus.DEGRADED


def test_readiness_reasons_in_their_order() -> None:
    database, migrations, manager = Script(), Script(), Script()
    checker = Checker(
        interval=1,
        checks=[
            registered(database),
            registered(migrations, Impact.MIGRATIONS, "migrations"),
            registered(manager, Impact.DEPENDENCY, "pool_manager"),
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
    checker = Checker(interval=1, checks=[registered(Script(fail(OSError())), Impact.INFORMATION, "x")])
    checker.step()
    assert checker.current().readiness.reason == ""
    assert checker.current().status is CheckStatus.DEGRADED


def test_broken_database_spares_the_checks_that_need_it() -> None:
    manager = Script()
    checker = Checker(
        interval=1,
        checks=[registered(Script(fail(OSError()))), registered(manager, Impact.DEPENDENCY, "pool_manager")],
    )
    checker.step()
    assert manager.runs == 0
    assert checker.current().effective["pool_manager"].problem == "database_unhealthy"


def test_check_past_its_limit_is_unhealthy_while_it_hangs(running: Callable[..., Checker]) -> None:
    gate = Gate()
    script = Script()
    checker = running(registered(script))
    until(lambda: checker.results.complete)
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
    assert checker.results.outcomes["database"].problem == "timed_out"


def test_checker_asked_often_runs_one_round_at_a_time(running: Callable[..., Checker]) -> None:
    script = Script()
    checker = running(registered(script))
    until(lambda: checker.results.complete)
    end = time.monotonic() + 1.2
    while time.monotonic() < end:
        checker.wake()
        checker.ask()
    assert 2 <= script.runs <= 5


def test_checker_not_asked_waits_for_its_interval(running: Callable[..., Checker]) -> None:
    script = Script()
    checker = running(registered(script))
    until(lambda: checker.results.complete)
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
    assert script.runs == checker_module.MAX_ROUNDS
    first.open()  # the one that was given up comes back, and finds that it is not wanted
    until(lambda: checker.rounds == 1 or script.runs > checker_module.MAX_ROUNDS)  # or another one has begun
    assert checker.ask().readiness.reason == "database_unhealthy"
    script.action = lambda: None
    second.open()
    until(lambda: checker.ask().readiness.reason == "")


def test_stopped_checker_what_its_last_round_finds_does_not_count(running: Callable[..., Checker]) -> None:
    """The process closes its connections meanwhile, and the instance's other workers would look unready with it."""
    gate, told = Gate(), list[CheckStatus]()

    def database_closed() -> None:
        gate()
        raise RuntimeError("the dbpool is closed")

    script = Script(lambda: None)
    checker = running(registered(script))
    until(lambda: checker.fresh and checker.rounds == 0)
    script.action = database_closed
    checker._after_round = lambda made: told.append(made.current().status)
    until(lambda: checker.wake() or gate.entered.acquire(blocking=False))
    checker.stop()
    gate.open()
    checker.stop(5)
    assert (checker.rounds, checker.current().status, told) == (0, CheckStatus.HEALTHY, [])


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


def test_missed_deadline_is_reported_once_by_the_clock(
    running: Callable[..., Checker], caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    checker = running(registered(Script(gate)))
    seen: list[str] = []
    checker._after_round = lambda made: seen.append(made.current().readiness.reason)
    assert gate.entered.acquire(timeout=10)
    until(lambda: seen)
    time.sleep(0.3)
    assert seen == ["database_unhealthy"]
    assert caplog.text.count("unhealthy timed_out, and still under way") == 1
    gate.open()


def test_await_round_old_result_waits_for_the_next_one(running: Callable[..., Checker]) -> None:
    script = Script()
    checker = running(registered(script))
    until(lambda: checker.results.complete and not checker.fresh)
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
