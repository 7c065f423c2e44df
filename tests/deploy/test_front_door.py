"""HAProxy in front of one instance: what clients see while it restarts, is not ready or gone."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy import haproxies
from tests.deploy.conftest import Figures
from tests.deploy.engine import BASE, Stack, docker, eventually, fetch, in_background, stack, status
from tests.deploy.load import Load
from tests.deploy.scaled import SERVER, Traffic, enrolled, enrolment_code

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def single(image: str) -> Iterator[Stack]:
    """The stack of one instance, ready."""
    with stack(*BASE, SHUTDOWN_DRAIN_DELAY=2) as project:
        project.compose("up", "-d", "--no-build")
        project.ready()
        yield project


def view(project: Stack, path: str, **headers: str) -> tuple[int, str, str]:
    """Status, media type and text of one GET through HAProxy."""
    code, found, body = fetch(project.port, path, headers=headers)
    return code, found.get("content-type", ""), body.decode()


# A start may take longer than the shipped HAProxy lets requests wait: this one waits until the load's clients give up.
PATIENT = {
    "timeout queue 10s": "timeout queue 50s",
    "inspect-delay 5s": "inspect-delay 50s",
    "    retries 8\n": "    retries 48\n",  # one each second
    '"${SOURCE_CONNECTIONS}"': "4000",
    '"${SOURCE_REQUESTS_AT_ONCE}"': "1000",
    '"${SOURCE_REQUESTS_IN_10_SECONDS}"': "100000",
}


@pytest.fixture
def patient(single: Stack, tmp_path: Path) -> Iterator[int]:
    """The port of an HAProxy in front of the same instance, in which requests wait as long as a slow start takes."""
    container, port = haproxies.start(single, tmp_path / "config", haproxies.SERVED, PATIENT)
    try:
        yield port
    finally:
        docker("rm", "-f", "-v", container)


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_restarting_the_only_instance_loses_no_request_but_probes(
    single: Stack, patient: int, figures: Figures, how: str
) -> None:
    """It serves while it drains; after that requests wait at HAProxy."""
    tokens = [enrolled(single.port, enrolment_code(single, 1), f"only-{how}")]
    (container,) = single.containers(SERVER)
    with Load(patient, Traffic(tokens), rate=30, threads=200) as load:
        time.sleep(1)
        if how == "restart":
            docker("restart", "-t", "45", container)
        else:
            docker("kill", "-s", "KILL", container)
            noticed = time.monotonic() - load.started + 1  # haproxy.cfg: a killed instance is left within a second
            docker("start", container)
        eventually(lambda: status(patient, "/health/ready") == 200, within=90, what="it is back")
        time.sleep(1)
    probes = [one for one in load.result.lost if one.what.startswith("GET /health/live: 503 of None")]
    figures(f"{how} of the only instance: {load.result.sent} sent, {len(probes)} probes 503")
    assert load.result.sent > 100
    # kill -9: what it was working on at that moment, and what met it before HAProxy noticed.
    lost = [one for one in load.result.lost if one not in probes and not (how == "kill" and one.sent <= noticed)]
    assert lost == []
    assert probes or load.result.slowest > 1, "it was away for a moment"


def test_front_door_tells_why_no_instance_is_ready(single: Stack) -> None:
    postgres = single.containers("postgres")[0]
    docker("stop", "-t", "30", postgres)
    try:
        eventually(lambda: status(single.port, "/health/ready") == 503, within=30, what="not ready")
        eventually(
            lambda: json.loads(view(single, "/health/ready")[2]).get("reason") == "database_unhealthy", within=30
        )
        detailed = json.loads(view(single, "/health/detailed")[2])
        assert detailed["components"]["database"]["status"] == "unhealthy"
        assert status(single.port, "/health/live") == 200
        code, kind, text = view(single, "/api/v1/me", Authorization="Bearer pst_" + "0" * 40)
        assert (code, kind, json.loads(text)["code"]) == (503, "application/problem+json", "database_unavailable")
    finally:
        docker("start", postgres)
    single.ready()


def test_front_door_without_any_instance_says_so_to_programs_and_to_people(single: Stack) -> None:
    (container,) = single.containers(SERVER)
    docker("stop", "-t", "45", container)
    try:
        eventually(lambda: "no_instance" in view(single, "/health/ready")[2], within=30, what="nobody is there")
        code, headers, body = fetch(single.port, "/api/v1/me")
        assert (code, headers["content-type"]) == (503, "application/problem+json")
        assert headers["retry-after"] == "5"
        problem = json.loads(body)
        assert (problem["code"], problem["status"]) == ("no_instance", 503)
        code, headers, body = fetch(single.port, "/", headers={"Accept": "text/html,*/*"})
        assert (code, headers["content-type"]) == (503, "text/html; charset=utf-8")
        assert headers["x-content-type-options"] == "nosniff"
        assert b"No instance is ready" in body
    finally:
        docker("start", container)
    single.ready()


def upload(port: int, over: threading.Event, started: threading.Event, answers: list[str]) -> None:
    """A request whose body arrives in small pieces, the last one when it is told to be over."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        head = b"POST /api/v1/enroll HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        client.sendall(head + b'Content-Length: 600\r\n\r\n{"code":"x","name":"a"')
        started.set()
        while not over.wait(0.2):
            client.sendall(b" ")
        client.sendall(b" " * 600)
        answers.append(client.recv(65536).split(b"\r\n")[0].decode())


@pytest.mark.parametrize("command", [haproxies.SERVED, haproxies.BARE], ids=["shipped", "twin"])
def test_stopping_haproxy_waits_for_requests_and_not_for_idle_connections(
    single: Stack, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """The twin is HAProxy by itself: with idle connections the engine has to kill it."""
    container, port = haproxies.start(single, tmp_path / "config", command, {})
    idle = haproxies.idle(port, 10)
    over, started, answers = threading.Event(), threading.Event(), list[str]()
    slow = threading.Thread(target=upload, args=(port, over, started, answers))
    slow.start()
    started.wait(30)
    stopping = in_background("docker", "stop", "-t", "20", container)
    time.sleep(4)
    assert stopping.is_alive(), "a request is in flight"
    # By now it would be closed to everybody without serve.sh.
    assert (status(port, "/health/live") == 200) is (command == haproxies.SERVED)
    over.set()
    slow.join(60)
    stopping.join(60)
    assert answers
    assert answers[0].startswith("HTTP/1.1 4"), "the instance answered: this code is unknown"
    killed = docker("inspect", "-f", "{{.State.ExitCode}}", container) == "137"
    assert killed is (command == haproxies.BARE)
    for connection in idle:
        connection.close()


def test_recreating_haproxy_with_idle_connections_refuses_nobody_for_long(single: Stack, figures: Figures) -> None:
    """What is refused is the engine's own time between two containers; measured for docker-compose as it is here."""
    idle = haproxies.idle(single.port, 20)
    asked, over = list[tuple[float, int]](), threading.Event()

    def ask() -> None:
        while not over.wait(0.05):
            began = time.monotonic()
            asked.append((began, status(single.port, "/health/live")))

    asking = threading.Thread(target=ask)
    asking.start()
    (before,) = single.containers("haproxy")
    single.compose("up", "-d", "--no-build", "--no-deps", "--force-recreate", "haproxy")
    single.ready()
    over.set()
    asking.join(60)
    refused = [when for when, code in asked if code != 200]
    assert single.containers("haproxy") != [before]
    gap = refused[-1] - refused[0] if refused else 0.0
    figures(f"HAProxy recreated with 20 idle connections: {len(refused)} of {len(asked)} refused, for {gap:.1f} s")
    # Without serve.sh it is 26 s on an idle machine, and no machine is quicker: that is a timeout of haproxy.cfg.
    assert gap < 20
    for connection in idle:
        connection.close()
