"""`manage.py drain` on real instances: without a signal, from another process, undone, waited for."""

import json
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import Serve, Start
from tests.support.load import get, in_background
from tests.support.playground import Playground
from tests.support.postgres import free_port
from tests.support.server import manage
from tests.support.wait import until


def drain(server: Playground, *arguments: str, **env: object) -> tuple[int, str]:
    """(exit code, all that it said) of the command in the environment of the server."""
    done = manage(server.environment["DATABASE_URL"], "drain", *arguments, **{"HTTP_PORT": server.port, **env})
    return done.returncode, done.stdout + done.stderr


def phase(server: Playground) -> str:
    return str(server.snapshot()["phase"])


def test_drain_readiness_503_still_serving_until_undone(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url, WEB_CONCURRENCY=2) as server:
        until(lambda: get(server.port, "/health/ready")[0] == 200)
        code, said = drain(server)
        assert (code, said.strip()) == (
            0,
            f"instance on port {server.port} (pid {server.pid}) is draining: nothing in progress.",
        )
        assert get(server.port, "/health/ready")[0] == 503
        status, headers, _ = get(server.port, "/snapshot")
        assert (status, headers["connection"]) == (200, "close")
        assert phase(server) == "draining"
        until(lambda: "`manage.py drain` was asked for" in server.log())
        code, said = drain(server, "--format", "json")
        assert (code, json.loads(said)) == (
            0,
            {"port": server.port, "pid": server.pid, "draining": True, "in_progress": {}},
        )
        code, said = drain(server, "--undo")
        assert code == 0 and "serves normally again" in said
        until(lambda: get(server.port, "/health/ready")[0] == 200)
        assert phase(server) == "serving"
        until(lambda: "was undone" in server.log())
        assert server.log().count("`manage.py drain` was asked for") == server.log().count("was undone") == 1


def test_drain_wait_returns_when_the_request_is_answered_and_sigterm_then_stops_without_delay(
    playground: Start, sqlite_url: str
) -> None:
    with playground(sqlite_url, SHUTDOWN_DRAIN_DELAY=1) as server:
        asked = in_background(server.port, "/sleep/4000")
        until(lambda: server.in_flight() >= 1)
        began = time.monotonic()
        code, said = drain(
            server, "--wait", "20", SHUTDOWN_DRAIN_DELAY=60, SHUTDOWN_TIMEOUT=90
        )  # the server's own delay counts
        assert code == 0, said
        asked.join(5)
        assert asked.status == 200
        assert time.monotonic() - began > 1
        server.signal(signal.SIGTERM)
        server.wait_exit()
        assert server.shutdown_status()["drained_seconds"] < 1  # SHUTDOWN_DRAIN_DELAY; what was drained before counts


def test_drain_wait_too_short_says_what_is_in_progress(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url) as server:
        in_background(server.port, "/sleep/20000")
        until(lambda: server.in_flight() >= 1)
        code, said = drain(server, "--wait", "0.5")
        assert code == 1
        assert "Still in progress after 0.5 s: 1 requests." in said
        assert "Traceback" not in said


@pytest.mark.parametrize("wait", ["-5", "nan", "inf", "soon"])
def test_drain_wait_that_is_no_time_refused_and_nothing_drains(serving: Serve, wait: str) -> None:
    server = serving()
    code, said = drain(server, f"--wait={wait}")
    assert code != 0 and "--wait" in said and "Traceback" not in said
    assert phase(server) == "serving"


def test_drain_wait_undone_meanwhile_says_so(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url) as server:
        in_background(server.port, "/sleep/60000")
        until(lambda: server.in_flight() >= 1)
        found: list[tuple[int, str]] = []
        waiting = threading.Thread(target=lambda: found.append(drain(server, "--wait", "50")))
        waiting.start()
        until(lambda: phase(server) == "draining", 30)
        assert drain(server, "--undo")[0] == 0
        waiting.join(30)
        code, said = found[0]
        assert code == 1 and "The drain was undone: the instance serves normally again." in said
        assert phase(server) == "serving"


def test_drain_after_a_signal_undo_is_refused(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url, SHUTDOWN_DRAIN_DELAY=60, SHUTDOWN_TIMEOUT=90) as server:
        server.signal(signal.SIGTERM)
        until(lambda: phase(server) == "draining")
        code, said = drain(server, "--undo")
        assert code == 1 and "can't be undone" in said
        assert phase(server) == "draining"


def test_drain_two_instances_only_the_chosen_one(playground: Start, sqlite_url: str, tmp_path: Path) -> None:
    with playground(sqlite_url) as one, playground(sqlite_url) as two:
        assert drain(two)[0] == 0
        assert (phase(one), phase(two)) == ("serving", "draining")
        assert drain(two, "--instance", str(one.pid))[0] == 0
        assert phase(one) == "draining"


def test_drain_no_instance_clear_error(sqlite_url: str) -> None:
    port = free_port()
    done = manage(sqlite_url, "drain", HTTP_PORT=port)
    assert done.returncode == 1
    assert f"No instance of this user runs on port {port}." in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
