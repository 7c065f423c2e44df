"""Somebody else's lock, a pacman that doesn't start: the machine says so, goes on reporting, finishes later."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agent.test_pacman_said import broken_pacman
from tests.e2e.two_machines import endpoint_name, two_machines
from tests.support import agent
from tests.support.pacman import Machine
from tests.support.site import Site
from tests.support.wait import until

pytestmark = pytest.mark.needs("pacman")
Away = Callable[[], contextlib.AbstractContextManager[None]]
BEGINNING = "Going on with the operation"


@pytest.fixture
def one(site: Site, tmp_path: Path) -> Machine:
    """An enrolled machine that is behind its pool."""
    one, two = two_machines(tmp_path)
    site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    return one


def endpoint(site: Site, machine: Machine) -> dict[str, Any]:
    return site.call("GET", f"/endpoints/{endpoint_name(machine)}")


def codes(site: Site, machine: Machine) -> list[str]:
    return [problem["code"] for problem in endpoint(site, machine)["problems"]]


def lock_in_the_place_of_ours(machine: Machine) -> Path:
    """Cut a sync off in the middle, and have somebody else's lock there; its path."""
    assert agent.run_killed_at(machine, "pacman:cut:installing extra", "sync").code == -signal.SIGKILL
    lock = machine.dbpath / "db.lck"
    lock.unlink(missing_ok=True)
    lock.touch()
    # If the agent died before it saw its pacman's lock, the last output decides; that pacman's shell may still write.
    later = time.time() + 5
    os.utime(lock, (later, later))
    return lock


def test_once_that_cannot_finish_says_why_and_reports_all_the_same(site: Site, one: Machine) -> None:
    lock = lock_in_the_place_of_ours(one)
    for _ in range(2):
        done = agent.run(one, "once").ok()
        assert f"{lock} is there" in done.out and "remove the lock" in done.out and BEGINNING not in done.out
    assert agent.run(one, "once", "--json").ok().last["busy"] is True
    # Cut off at another moment, the package's entry is half written, too.
    assert "database_locked" in codes(site, one) and endpoint(site, one)["status"] != "offline"
    assert [operation["status"] for operation in site.operations(endpoint_name(one))] == ["applying"]
    lock.unlink()
    agent.run(one, "once").ok()
    assert set(one.state()) == {"tool", "extra"}
    assert [operation["status"] for operation in site.operations(endpoint_name(one))] == ["succeeded"]
    agent.run(one, "once").ok()
    assert codes(site, one) == []


def test_run_that_cannot_finish_says_why_once_and_reports_until_it_can(site: Site, one: Machine) -> None:
    lock = lock_in_the_place_of_ours(one)
    process = agent.start(one, "run")
    seen: set[str] = set()

    def reported_often() -> bool:
        seen.add(endpoint(site, one)["last_seen"])
        return len(seen) > 4 and "database_locked" in codes(site, one)

    until(reported_often, 60)
    lock.unlink()
    until(lambda: not (agent.state_dir(one) / "journal.json").exists(), 60)
    until(lambda: codes(site, one) == [], 60)
    process.terminate()
    out, _ = process.communicate(timeout=60)
    assert (out.count(f"{lock} is there"), out.count(BEGINNING)) == (1, 1), out
    assert set(one.state()) == {"tool", "extra"}


def test_machine_with_a_lock_is_no_source_on_the_server_unless_forced(site: Site, one: Machine) -> None:
    """A person's pacman was cut off after the first package."""
    body = {"endpoint": endpoint_name(one)}
    pool = endpoint(site, one)["pool"]
    one.go_to("2025/02/01")
    one.pacman("-Sy")
    one.pacman("-S", "tool")
    lock = one.dbpath / "db.lck"
    lock.touch()
    agent.run(one, "once").ok()
    assert codes(site, one) == ["database_locked"]
    with pytest.raises(AssertionError, match=r"package database is locked.*unsound_source"):
        site.call("POST", f"/pools/{pool}/targets", body)
    assert site.call("POST", f"/pools/{pool}/targets", {**body, "force": True})["number"] == 2
    lock.unlink()
    agent.run(one, "once").ok()
    assert codes(site, one) == []


def test_lock_of_the_pacman_whose_hook_reports_is_no_problem(site: Site, one: Machine) -> None:
    # This process is the pacman: it has the lock file open, and the agent is its child.
    with (one.dbpath / "db.lck").open("xb"):
        agent.run(one, "once").ok()
    (one.dbpath / "db.lck").unlink()
    assert codes(site, one) == []


@pytest.fixture
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Away:
    """A context in which neither pacman nor pacman-conf starts."""
    path = f"{broken_pacman(tmp_path / 'bin', 'pacman', 'pacman-conf')}:{os.environ['PATH']}"

    @contextlib.contextmanager
    def pacman_away() -> Iterator[None]:
        with monkeypatch.context() as patched:
            patched.setenv("PATH", path)
            yield

    return pacman_away


def test_pacman_that_stops_starting_in_the_middle_keeps_the_machine_reporting(
    site: Site, one: Machine, away: Away
) -> None:
    agent.run(one, "once").ok()
    assert agent.run_killed_at(one, "pacman:cut:installing extra", "sync").code == -signal.SIGKILL
    with away():
        seen = endpoint(site, one)["last_seen"]
        done = agent.run(one, "once").ok()
        assert (
            "pacman doesn't start here: " in done.out + done.err
            and "has to finish the operation" in done.out + done.err
        )
        assert agent.run(one, "once", "--json").ok().last["busy"] is True
        assert endpoint(site, one)["last_seen"] > seen and "pacman_unusable" in codes(site, one)
        assert agent.run(one, "sync", "--json").refused(7).last["code"] == "pacman_unusable"
    assert [operation["status"] for operation in site.operations(endpoint_name(one))] == ["applying"]
    agent.run(one, "once").ok()
    agent.run(one, "once").ok()
    assert set(one.state()) == {"tool", "extra"} and codes(site, one) == []
    assert [operation["status"] for operation in site.operations(endpoint_name(one))] == ["succeeded"]


@pytest.mark.parametrize("point", ["sent:/operations", "enter:claim", "enter:gather", "enter:rehearse"])
def test_operation_for_which_pacman_was_not_started_fails_where_it_does_not_start(
    site: Site, one: Machine, away: Away, point: str
) -> None:
    agent.run(one, "once").ok()
    assert agent.run_killed_at(one, point, "sync").code == -signal.SIGKILL
    with away():
        assert agent.run(one, "once", "--json").refused(7).last["code"] == "pacman_unusable"
        agent.run(one, "once").ok()
    [operation] = site.operations(endpoint_name(one))
    assert (operation["status"], operation["result"]["code"]) == ("failed", "pacman_unusable")
    agent.run(one, "sync").ok()
    assert set(one.state()) == {"tool", "extra"}


def test_result_that_waits_is_sent_without_pacman(site: Site, one: Machine, away: Away) -> None:
    agent.run(one, "once").ok()
    assert agent.run_killed_at(one, "enter:report", "sync").code == -signal.SIGKILL
    with away():
        agent.run(one, "once").ok()
    assert [operation["status"] for operation in site.operations(endpoint_name(one))] == ["succeeded"]
