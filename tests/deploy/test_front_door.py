"""HAProxy in front of one instance: what clients see while it restarts, is not ready or gone; and a TLS proxy."""

import http.client
import json
import re
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy import haproxies
from tests.deploy.conftest import Figures
from tests.deploy.engine import (
    BASE,
    LABEL,
    TLS,
    Stack,
    docker,
    eventually,
    fetch,
    in_background,
    json_of,
    run,
    stack,
    status,
)
from tests.deploy.load import Load
from tests.deploy.scaled import SERVER, Traffic, enrolled, enrolment_code
from tests.support.postgres import free_port

pytestmark = pytest.mark.timeout(600)
PRIVATE = "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16"  # whatever network Docker gives to the stack
TLS_PROXY = """
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend tls
    bind :8443 ssl crt /tls/server.pem
    option forwardfor
    http-request set-header X-Forwarded-Proto https
    default_backend pacsync
backend pacsync
    server pacsync haproxy:8080
"""


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


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_restarting_the_only_instance_loses_no_request_but_probes(single: Stack, figures: Figures, how: str) -> None:
    """It serves while it drains; after that requests wait at HAProxy."""
    tokens = [enrolled(single.port, enrolment_code(single, 1), f"only-{how}")]
    (container,) = single.containers(SERVER)
    with Load(single.port, Traffic(tokens), rate=30, threads=200) as load:
        time.sleep(1)
        if how == "restart":
            docker("restart", "-t", "45", container)
        else:
            docker("kill", "-s", "KILL", container)
            docker("start", container)
        single.ready()
        time.sleep(1)
    probes = [what for _, what in load.result.lost if what.startswith("GET /health/live: 503 of None")]
    figures(f"{how} of the only instance: {load.result.sent} sent, {len(probes)} probes 503")
    assert load.result.sent > 100
    lost = [what for _, what in load.result.lost if what not in probes]
    # kill -9: what it was working on at that moment, and what met it before HAProxy noticed.
    assert len(lost) <= (3 if how == "kill" else 0), lost
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


@pytest.mark.needs("openssl")
def test_own_certificate_serves_https_and_is_renewed_without_a_restart(image: str, tmp_path: Path) -> None:
    """docker-compose.tls.yml by COMPOSE_FILE, as documented; the certificate is checked as a browser does it."""
    folder = tmp_path / "tls"
    first = certificate(folder)
    with stack(COMPOSE_FILE=":".join(TLS), TLS_FOLDER=folder, SHUTDOWN_DRAIN_DELAY=0) as project:
        project.compose("run", "--rm", "--no-deps", "-T", "haproxy", *haproxies.BARE[:1], "-c", *haproxies.BARE[3:])
        project.compose("up", "-d", "--no-build")
        port = project.ports["HTTPS_PORT"]
        eventually(lambda: https(port, "/health/ready", trusted=first)[0] == 200, within=90, what="TLS works")
        code, headers = https(port, "/login", trusted=first)
        assert code == 200
        assert "secure" in headers["set-cookie"].lower()
        assert headers["strict-transport-security"]
        code, headers, _ = fetch(project.port, "/login", headers={"Host": "localhost"})
        assert (code, headers["location"]) == (301, "https://localhost/login")

        second = certificate(folder)
        assert second != first
        project.compose("kill", "-s", "HUP", "haproxy")
        (haproxy,) = project.containers("haproxy")
        eventually(lambda: accepts(port, second), within=30, what="the renewed certificate")
        assert not accepts(port, first)
        assert project.containers("haproxy") == [haproxy]

        # The twin: what it can't read is refused, named, and leaves the one that works.
        (folder / "server.pem").unlink()
        project.compose("kill", "-s", "HUP", "haproxy")
        eventually(lambda: "/tls/server.pem" in project.logs("haproxy"), within=30, what="the log names the file")
        assert accepts(port, second)


def certificate(folder: Path) -> str:
    """Make a new key and certificate for localhost in `folder`/server.pem, readable by HAProxy; the certificate."""
    folder.mkdir(exist_ok=True)
    key, chain = folder / "key", folder / "chain"
    request = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost")
    run(*request, "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", chain)
    text = chain.read_text()
    (folder / "new.pem").write_text(key.read_text() + text)
    (folder / "new.pem").chmod(0o644)
    (folder / "new.pem").replace(folder / "server.pem")
    for path in (folder, *folder.parents):
        if "pytest-of-" in str(path):
            path.chmod(0o755)
    return text


def accepts(port: int, trusted: str) -> bool:
    """Whether the handshake succeeds for a client that trusts this certificate alone."""
    try:
        return https(port, "/health/live", trusted=trusted)[0] == 200
    except ssl.SSLError:
        return False


@pytest.mark.needs("openssl")
def test_tls_proxy_in_front_is_believed_when_it_is_named(image: str, tmp_path: Path) -> None:
    """A real one, in the stack's network: HTTPS with it, no endless redirect, the client's address in the log."""
    with stack(*BASE, TRUSTED_PROXIES=PRIVATE, BEHIND_HTTPS_PROXY="true", SHUTDOWN_DRAIN_DELAY=0) as project:
        project.compose("up", "-d", "--no-build")
        project.ready()
        port = tls_proxy(project, tmp_path)
        eventually(lambda: https(port, "/health")[0] == 200, within=30, what="TLS works")
        code, headers = https(port, "/login", {"X-Forwarded-For": "203.0.113.9"})
        assert code == 200
        assert "secure" in headers["set-cookie"].lower()
        assert headers["strict-transport-security"]
        # The monitoring port has no TLS, and its page its style all the same.
        static = re.findall(r'href="(/static/[^"]+\.css)"', page(project, "/health/detailed"))
        assert static
        assert {fetch(project.ports["MONITORING_PORT"], sheet)[0] for sheet in static} == {200}
        # HAProxy, too, is asked by the stack's own network here: so the bare request is believed to be plain HTTP.
        code, headers, _ = fetch(project.port, "/login", headers={"Host": "localhost"})
        assert (code, headers["location"]) == (301, "https://localhost/login")
        eventually(lambda: Counter(remotes(project, "/login"))[gateway(project)] == 2, within=30, what="the client")


def test_forwarded_headers_of_strangers_are_not_believed(image: str) -> None:
    """The twin: the same headers, from an address that TRUSTED_PROXIES doesn't name."""
    with stack(*BASE, BEHIND_HTTPS_PROXY="true", SHUTDOWN_DRAIN_DELAY=0) as project:
        project.compose("up", "-d", "--no-build")
        project.ready()
        headers = {"Host": "localhost", "X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"}
        assert fetch(project.port, "/login", headers=headers)[0] == 301
        assert json_of(project.port, "/health", headers=headers)["status"] == "healthy"
        eventually(lambda: remotes(project, "/login") == [gateway(project)], within=30, what="the real address")


def page(project: Stack, path: str) -> str:
    """What a browser gets on the monitoring port."""
    return fetch(project.ports["MONITORING_PORT"], path, headers={"Accept": "text/html"})[2].decode()


def tls_proxy(project: Stack, folder: Path) -> int:
    """Start a proxy that ends TLS in front of the stack's HAProxy; its port on loopback."""
    pem = folder / "server.pem"
    key, certificate = folder / "key", folder / "certificate"
    request = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost")
    run(*request, "-keyout", key, "-out", certificate)
    pem.write_text(key.read_text() + certificate.read_text())
    (folder / "tls.cfg").write_text(TLS_PROXY)
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    port = free_port()
    where = ("--network", f"{project.name}_front", "-p", f"127.0.0.1:{port}:8443", "--label", LABEL)
    labels = ("--label", f"com.docker.compose.project={project.name}", "--label", "com.docker.compose.service=tls")
    files = ("-v", f"{pem}:/tls/server.pem:ro", "-v", f"{folder / 'tls.cfg'}:/usr/local/etc/haproxy/haproxy.cfg:ro")
    docker("run", "-d", *where, *labels, *files, "haproxy:3.0")
    return port


def https(
    port: int, path: str, headers: dict[str, str] | None = None, *, trusted: str = ""
) -> tuple[int, dict[str, str]]:
    """One GET by HTTPS; the certificate is checked against `trusted`, or by nobody."""
    context = ssl.create_default_context(cadata=trusted or None)
    if not trusted:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("localhost", port, timeout=30, context=context)
    try:
        connection.request("GET", path, headers={"Host": "localhost", **(headers or {})})
        answer = connection.getresponse()
        answer.read()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}
    finally:
        connection.close()


def remotes(project: Stack, path: str) -> list[str]:
    """The clients of the requests for this path, by the log of the instances."""
    lines = [line for line in project.logs(SERVER).splitlines() if f" {path} " in line and '"remote"' in line]
    return [json.loads(line[line.index("{") :])["remote"] for line in lines]


def gateway(project: Stack) -> str:
    """The address that this machine has in the stack's network."""
    return docker("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", f"{project.name}_front")
