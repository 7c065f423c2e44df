"""HAProxy in front of one instance: what clients see while it restarts, is not ready or gone; and a TLS proxy."""

import http.client
import json
import re
import ssl
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.conftest import Figures
from tests.deploy.engine import (
    BASE,
    LABEL,
    Stack,
    docker,
    eventually,
    fetch,
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


def https(port: int, path: str, headers: dict[str, str] | None = None) -> tuple[int, dict[str, str]]:
    """One GET by HTTPS; nobody checks the certificate that the test made for itself."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=context)
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
