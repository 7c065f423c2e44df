"""The scaled stack, as documented, under a steady load: what clients lose while instances come, go and are killed.

The tests leave the stack with three ready instances, whatever they did to it.
"""

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.deploy import haproxies
from tests.deploy.conftest import Figures
from tests.deploy.engine import ROOT, Stack, docker, environment, eventually, fetch, json_of, run, status
from tests.deploy.load import Load
from tests.deploy.scaled import SERVER, Connections, Traffic, ready, scale, up

pytestmark = pytest.mark.timeout(600)
DBPOOL = 5  # DB_POOL_MAX_SIZE of docker-compose.scale.yml
UPDATE = ROOT / "deploy" / "rolling-update.sh"
RATE = 60  # requests a second; more takes the processors from instances that start
DRAIN = 5.0  # seconds of SHUTDOWN_DRAIN_DELAY: within them HAProxy has to notice an instance that goes


def view_loses_one(project: Stack, since: float) -> float:
    """Wait until HAProxy counts one instance less; the seconds since the monotonic time `since`."""
    eventually(lambda: len(up(project)) <= 2, within=15, every=0.05, what="HAProxy sees that one is gone")
    return time.monotonic() - since


def test_front_door_serves_health_to_anybody(three: Stack) -> None:
    code, headers, body = fetch(three.port, "/health", headers={"Host": "10.1.2.3"})
    assert (code, json.loads(body)["status"]) == (200, "healthy")
    assert headers["x-content-type-options"] == "nosniff"
    assert "server" not in headers
    assert re.fullmatch(r"server\d+", headers["x-served-by"])


def test_instances_log_the_client_and_not_what_it_makes_up(three: Stack) -> None:
    path = f"/api/v1/{secrets.token_hex(8)}"
    fetch(three.port, path, headers={"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9"})
    haproxy = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.Gateway}} {{end}}"
    address, gateway = docker("inspect", "-f", haproxy, three.containers("haproxy")[0]).split()[:2]
    eventually(lambda: f"{path} 404" in three.logs(SERVER), within=30, what="the request is in the log")
    (line,) = [line for line in three.logs(SERVER).splitlines() if path in line and '"remote"' in line]
    # From this machine the client is the bridge's gateway.
    assert json.loads(line[line.index("{") :])["remote"] == gateway != address


def test_statistics_are_at_their_documented_place_and_read_only(three: Stack) -> None:
    port = three.ports["STATS_PORT"]
    code, _, body = fetch(port, "/stats")
    assert code == 200
    assert b'method="post"' not in body.lower(), "a page that sends a form could change something"
    assert fetch(port, "/stats", method="POST", body=b"s=server1&action=disable&b=pacman_sync_api")[0] == 405
    assert [status(port, path) for path in ("/metrics", "/x")] == [404, 404]
    assert len(up(three)) == 3


def test_monitoring_port_has_health_and_metrics_and_nothing_else(three: Stack) -> None:
    port = three.ports["MONITORING_PORT"]
    detailed = json_of(port, "/health/detailed")
    assert detailed["status"] == "healthy"
    assert detailed["components"]["database"]["type"] == "postgresql"  # type: ignore[index]
    assert detailed["components"]["database"]["max_size"] == DBPOOL  # type: ignore[index]
    code, _, metrics = fetch(port, "/metrics")
    assert code == 200
    assert b'haproxy_server_status{proxy="pacman_sync_api",server="server1",state="UP"} 1' in metrics
    assert [status(port, path) for path in ("/admin/", "/api/v1/me", "/healthy")] == [404] * 3
    assert fetch(port, "/")[1]["location"] == "/health/detailed"
    page = fetch(port, "/health/detailed", headers={"Accept": "text/html"})[2].decode()
    sheets = re.findall(r'<link rel="stylesheet" href="([^"]+)"', page)
    assert sheets
    assert {status(port, sheet) for sheet in sheets} == {200}, "the page looks as it should here, too"
    # No header gets round that: gunicorn would take these two from whoever it trusts.
    for name in ("SCRIPT_NAME", "PATH_INFO"):
        assert fetch(port, "/health/login", headers={name: "/health"})[0] == 404
        assert fetch(three.port, "/login", headers={name: "/nope"})[0] == 200
    assert fetch(port, "/health", method="POST", body=b"")[0] == 405


def test_endpoint_stays_on_one_instance_and_others_are_spread(three: Stack, tokens: list[str]) -> None:
    def served_by(headers: dict[str, str]) -> str:
        return fetch(three.port, "/login", headers=headers)[1]["x-served-by"]

    by_token = [{served_by({"Authorization": f"Bearer {token}"}) for _ in range(5)} for token in tokens]
    assert all(len(found) == 1 for found in by_token), "an endpoint was sent to several instances"
    assert len(set.union(*by_token)) == 3, "thirty endpoints use all three instances"
    assert len({served_by({}) for _ in range(12)}) == 3, "requests without a token go to all of them"


@pytest.mark.parametrize("protected", [True, False], ids=["shipped", "twin"])
def test_draining_instance_does_not_answer_for_the_health_of_the_service(
    three: Stack, tmp_path: Path, protected: bool
) -> None:
    """HAProxy looks at it so seldom here that it never notices the drain: what reaches people is what is tested."""
    changes = {"inter 500ms fastinter 250ms": "inter 600s fastinter 600s"}
    if not protected:
        changes["response-timeout 503"] = "response-timeout"
    container, port = haproxies.start(three, tmp_path / "config", haproxies.BARE, changes)
    instances = three.containers(SERVER)

    def seen(path: str) -> set[int]:
        return {status(port, path) for _ in range(12)}

    try:
        assert seen("/health/ready") == {200}
        docker("exec", instances[0], "python", "manage.py", "drain")
        assert seen("/health/ready") == ({200} if protected else {200, 503})
        assert {status(three.ports[name], "/health/ready") for name in ("HTTP_PORT", "MONITORING_PORT")} == {200}
        for other in instances[1:]:
            docker("exec", other, "python", "manage.py", "drain")
        code, _, body = fetch(port, "/health/ready")
        assert (code, json.loads(body)["reason"]) == (503, "shutting_down"), (
            "when all of them drain, that comes through"
        )
    finally:
        docker("rm", "-f", container)
        for instance in instances:
            docker("exec", instance, "python", "manage.py", "drain", "--undo")


def test_stopping_each_instance_under_load_loses_nothing(three: Stack, tokens: list[str], figures: Figures) -> None:
    seen = []
    with Load(three.port, Traffic(tokens), rate=RATE) as load:
        for container in three.containers(SERVER):
            began = time.monotonic()
            stopping = threading.Thread(target=docker, args=("stop", "-t", "45", container))
            stopping.start()
            seen.append(view_loses_one(three, began))
            stopping.join()
            assert docker("inspect", "-f", "{{.State.ExitCode}}", container) == "0"
            docker("start", container)
            eventually(lambda: len(ready(three)) == 3, within=60, what="the instance is back")
    figures(f"stop and start of three: {load.result}; seen after {[round(s, 2) for s in seen]} s")
    load.result.nothing_is_lost()
    assert max(seen) < DRAIN


def test_killing_an_instance_under_load_loses_only_what_it_was_working_on(
    three: Stack, tokens: list[str], figures: Figures
) -> None:
    seen, moments = [], []
    with Load(three.port, Traffic(tokens), rate=RATE) as load:
        time.sleep(2)
        for container in three.containers(SERVER):
            moments.append((time.monotonic() - load.started, container))
            began = time.monotonic()
            docker("kill", "-s", "KILL", container)
            seen.append(view_loses_one(three, began))
            docker("start", container)
            eventually(lambda: len(ready(three)) == 3, within=60, what="the instance is back")
    figures(f"kill -9 of three: {load.result}; seen after {[round(s, 2) for s in seen]} s")
    # In flight with answers of some milliseconds: a handful at most, all at the moment of the kill.
    assert len(load.result.lost) <= 3 * 12
    for lost in load.result.lost:
        assert any(lost.sent <= moment + 2 and lost.ended >= moment for moment, _ in moments), lost
    assert max(seen) < DRAIN


def test_scaling_up_and_down_under_load_loses_nothing_and_keeps_the_connections(
    three: Stack, tokens: list[str], figures: Figures
) -> None:
    with Connections(three) as watch, Load(three.port, Traffic(tokens), rate=RATE) as load:
        for number in (5, 2):
            scale(three, number)
            time.sleep(2)
    figures(f"3 to 5 to 2: {load.result}; {watch}")
    load.result.nothing_is_lost()
    assert watch.samples > 100
    assert 0 < watch.most_of_one <= DBPOOL
    assert watch.most <= 5 * DBPOOL


def test_rolling_update_under_load_replaces_every_instance_and_loses_nothing(
    three: Stack, tokens: list[str], figures: Figures
) -> None:
    before = set(three.containers(SERVER))
    with Load(three.port, Traffic(tokens), rate=RATE) as load:
        said = run(UPDATE, *three.options, env=environment()).stdout
    figures(f"rolling update of three: {load.result}")
    assert "3 of 3 instances replaced" in said
    after = set(three.containers(SERVER, running=False))
    assert len(after) == 3
    assert not after & before
    load.result.nothing_is_lost()


@pytest.mark.long
def test_rolling_update_removes_a_stopped_instance_instead_of_starting_it_again(three: Stack) -> None:
    """`up --scale` would start it, with the image of before, and it would pass for the new one."""
    stopped, *others = three.containers(SERVER)
    docker("stop", "-t", "45", stopped)
    said = run(UPDATE, *three.options, env=environment()).stdout
    assert "is stopped: removed" in said
    assert "2 of 2 instances replaced" in said
    assert not set(three.containers(SERVER, running=False)) & {stopped, *others}


@pytest.mark.parametrize("moment", ["Creating|Starting", "drains and ends"])
def test_rolling_update_interrupted_keeps_the_number_of_instances(three: Stack, moment: str) -> None:
    where = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "start_new_session": True}
    with subprocess.Popen([UPDATE, *three.options], env=environment(), cwd=ROOT, **where) as update:  # type: ignore[call-overload]
        assert update.stdout
        for line in update.stdout:
            if re.search(moment, line):
                os.killpg(update.pid, signal.SIGINT)  # as a terminal does
                break
        rest = update.stdout.read()
    assert update.returncode == 130, rest
    assert re.search(r"Interrupted: [01] of 3 instances replaced", rest)
    eventually(lambda: len(ready(three)) == 3, within=60, what="three instances are up")
    assert len(three.containers(SERVER, running=False)) == 3


def test_clients_that_are_silent_in_the_middle_of_a_body_take_nobodys_place(three: Stack) -> None:
    """More of them than HAProxy sends requests at once."""
    silent = []
    for _ in range(60):
        client = socket.create_connection(("127.0.0.1", three.port), timeout=30)
        client.sendall(b"POST /api/v1/enroll HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{")
        silent.append(client)
    try:
        time.sleep(1)
        for path in ("/health/ready", "/login", "/api/v1/docs"):
            assert fetch(three.port, path)[0] == 200
        answer = silent[0].recv(4096)
        assert b" 408 " in answer
        assert b'"code":"request_timeout"' in answer
    finally:
        for client in silent:
            client.close()


def test_rolling_update_to_an_image_that_does_not_serve_leaves_everything_as_it_was(three: Stack) -> None:
    before = three.containers(SERVER)
    done = run(UPDATE, *three.options, env=environment() | {"PACSYNC_IMAGE": "haproxy:3.0"}, check=False)
    assert done.returncode == 1
    assert "It was removed; the others stay as they are." in done.stderr
    assert three.containers(SERVER, running=False) == before
    # One that DNS has just named counts as UP until its first check, even if it is gone again.
    eventually(lambda: len(ready(three)) == 3 == len(up(three)), within=15, what="HAProxy has the three of before")


def test_reload_of_the_load_balancer_under_load_loses_nothing(
    three: Stack, tokens: list[str], figures: Figures
) -> None:
    (haproxy,) = three.containers("haproxy")
    with Load(three.port, Traffic(tokens), rate=200) as load:
        for _ in range(3):
            time.sleep(4)
            docker("kill", "-s", "HUP", haproxy)
        time.sleep(4)
    figures(f"three reloads of HAProxy: {load.result}")
    load.result.nothing_is_lost()

    def reloads() -> int:
        done = run("docker", "logs", haproxy)
        return (done.stdout + done.stderr).count("Former worker")

    eventually(lambda: reloads() >= 3, within=60, what="the workers of before have ended")


def six_times_ready(stack: Stack) -> bool:
    return {status(stack.port, "/health/ready") for _ in range(6)} == {200}


def test_frozen_instance_is_left_though_its_connections_are_still_taken(three: Stack, figures: Figures) -> None:
    container = three.containers(SERVER)[0]
    began = time.monotonic()
    docker("pause", container)
    try:
        figures(f"frozen instance: left after {view_loses_one(three, began):.2f} s")
        # The backend for questions about health has its own checks, which may end later: then five seconds are lost.
        eventually(lambda: six_times_ready(three), within=20, what="nobody is sent to it")
    finally:
        docker("unpause", container)
    eventually(lambda: len(ready(three)) == 3, within=30, what="it is back")


def test_load_without_a_drain_is_seen_to_lose_requests(image: str, tokens: list[str], scaled: Stack) -> None:
    """The twin that shows that the load generator sees losses: HAProxy itself is stopped for a moment."""
    with Load(scaled.port, Traffic(tokens), rate=100, limit=20) as load:
        time.sleep(1)
        docker("restart", "-t", "0", scaled.containers("haproxy")[0])
        eventually(lambda: status(scaled.port, "/health") == 200, within=30)
    assert load.result.lost
    eventually(lambda: len(ready(scaled)) == 3, within=30)
