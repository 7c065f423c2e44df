"""Signals in every order, to the master and to workers of a real gunicorn."""

import os
import signal
import time

import psutil
import pytest

from tests.e2e.conftest import CLEANED, Start
from tests.e2e.reloading import SLOW_LOAD, replaced, workers
from tests.support.load import Load, get, in_background
from tests.support.wait import until

pytestmark = pytest.mark.timeout(300)  # on a busy machine the trial of a reload alone takes half a minute


def test_sighup_twice_workers_replaced_and_one_set_left(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url, WEB_CONCURRENCY=2) as server:
        until(lambda: len(workers(server)) == 2)
        old = workers(server)
        with Load(server.port, "/sleep/2", clients=3, pause=0.05) as load:
            for pause in (0.2, 0.2, 3):
                server.signal(signal.SIGHUP)
                time.sleep(pause)
            until(lambda: replaced(server, old, 2), 120)
            until(lambda: len(psutil.Process(server.pid).children()) == 2, 120)
        assert set(load.seen) == {200}
        assert server.stop() == 0


@pytest.mark.parametrize("pause", [0.0, 1.0, 4.0])
def test_sighup_then_sigterm_drains_and_ends(playground: Start, sqlite_url: str, pause: float) -> None:
    with playground(sqlite_url, SHUTDOWN_DRAIN_DELAY=5, SHUTDOWN_TIMEOUT=40) as server:
        server.signal(signal.SIGHUP)
        time.sleep(pause)
        asked = in_background(server.port, "/sleep/1500")
        time.sleep(0.2)
        server.signal(signal.SIGTERM)
        server.wait_exit(90)
        asked.join(5)
        assert asked.status == 200
        assert server.shutdown_status()["signal"] == "SIGTERM"


def test_sighup_while_draining_is_ignored(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url, SHUTDOWN_DRAIN_DELAY=15, SHUTDOWN_TIMEOUT=60) as server:
        old = workers(server)
        server.signal(signal.SIGTERM)
        until(lambda: get(server.port, "/health/ready")[0] == 503)
        server.signal(signal.SIGHUP)
        until(lambda: "reload ignored: the instance is shutting down" in server.log())
        assert workers(server) == old
        server.wait_exit(90)


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("count", [1, 2])
def test_sigterm_to_the_process_group_drains_like_one_to_the_master(
    playground: Start, sqlite_url: str, announced: bool, count: int
) -> None:
    """The workers of the negative twin take it for their master's: they leave, and it starts others meanwhile."""
    twin = {} if announced else {"PLAYGROUND_WITHOUT_ANNOUNCEMENT": 1}
    env = {"WEB_CONCURRENCY": count, "SHUTDOWN_DRAIN_DELAY": 15, "SHUTDOWN_TIMEOUT": 60}
    with playground(sqlite_url, **env, **twin) as server:
        until(lambda: len(workers(server)) == count)
        old = workers(server)
        slow = in_background(server.port, "/sleep/4000")
        until(lambda: server.in_flight() >= 1)
        os.killpg(server.pid, signal.SIGTERM)
        if announced:
            until(lambda: get(server.port, "/health/ready")[0] == 503)
            for _ in range(20):
                assert workers(server) == old
                time.sleep(0.05)
        server.wait_exit(90)
        slow.join(10)
        started = server.log().count("Booting worker")
        if announced:
            assert slow.status == 200
            assert started == count
            assert server.shutdown_status()["drained_seconds"] >= 14.9
        else:
            assert started > count


def test_sigterm_to_one_worker_it_is_replaced_and_nothing_is_lost(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url, PLAYGROUND_SLOW_LOAD=SLOW_LOAD) as server:
        until(lambda: get(server.port, "/health/ready")[0] == 200)
        old = workers(server)
        with Load(server.port, "/health/ready", clients=2, pause=0.05, keep_alive=False) as ready:
            os.kill(next(iter(old)), signal.SIGTERM)
            until(lambda: replaced(server, old, 1), 120)
        assert set(ready.seen) == {200}
        assert ready.slowest < SLOW_LOAD - 1


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU, signal.SIGINT])
def test_signal_of_the_masters_sent_to_a_worker_changes_nothing(
    playground: Start, sqlite_url: str, number: signal.Signals
) -> None:
    with playground(sqlite_url) as server:
        old = workers(server)
        os.kill(next(iter(old)), number)
        time.sleep(0.5)
        assert get(server.port, "/health/live")[0] == 200
        assert workers(server) == old


def test_sigusr2_is_refused_and_the_instance_serves(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url) as server:
        server.signal(signal.SIGUSR2)
        until(lambda: "SIGUSR2 ignored" in server.log())
        assert len(psutil.Process(server.pid).children()) == 1
        assert get(server.port, "/health/live")[0] == 200


def test_master_killed_workers_end(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url, WEB_CONCURRENCY=2) as server:
        children = psutil.Process(server.pid).children()
        os.kill(server.pid, signal.SIGKILL)
        until(lambda: not [child for child in children if child.is_running()], 30)


def test_sighup_workers_replaced_no_request_lost_each_in_a_slot_of_its_own(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url, WEB_CONCURRENCY=3, PRELOAD_APP="true") as server:

        def slots() -> list[tuple[int, int]]:
            return [(w["slot"], w["pid"]) for w in server.workers()]

        until(lambda: len(slots()) == 3)
        old = {pid for _, pid in slots()}
        with Load(server.port, "/sleep/5", clients=4, pause=0.02) as load:
            server.signal(signal.SIGHUP)
            until(lambda: len(slots()) == 3 and not old & {pid for _, pid in slots()}, 100)
        assert set(load.seen) == {200}
        assert len({slot for slot, _ in slots()}) == 3
        assert server.stop() == 0


def test_sighup_work_of_the_old_worker_leaves_time_for_its_cleanup(playground: Start, sqlite_url: str) -> None:
    """Without a connection gunicorn ends the worker at once; its work takes longer than the time for the cleanup."""
    with playground(sqlite_url, PLAYGROUND_SLOW_CLEANUP=1) as server:
        assert get(server.port, "/task/7000")[0] == 200
        server.signal(signal.SIGHUP)
        until(lambda: "worked" in server.evidence, 60)
        until(lambda: server.evidence[-3:] == ["slow", *CLEANED])


def test_ttin_the_number_of_workers_stays_and_the_instance_serves(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url) as server:
        for number in (signal.SIGTTIN, signal.SIGTTOU) * 4:
            server.signal(number)
            time.sleep(0.05)
        until(lambda: "SIGTTOU ignored" in server.log())
        assert get(server.port, "/health/live")[0] == 200
        assert server.log().count("Booting worker") == 1


def test_sighup_then_sigterm_with_a_stuck_request_exit_within_timeout(playground: Start, sqlite_url: str) -> None:
    """gunicorn's reload waits in the master's main loop for the old workers: a shutdown must not wait behind it."""
    with playground(sqlite_url, SHUTDOWN_TIMEOUT=12) as server:
        in_background(server.port, "/sleep/60000")
        until(lambda: server.in_flight() >= 1)
        server.signal(signal.SIGHUP)
        until(lambda: "Hang up" in server.log())
        server.signal(signal.SIGTERM)
        server.wait_exit()
        assert server.evidence[-2:] == CLEANED
        status = server.shutdown_status()
        assert status["abandoned"] == {"requests": 1}
        assert status["total_seconds"] < 20  # behind the reload it would be twice the timeout
