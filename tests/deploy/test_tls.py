"""HTTPS at HAProxy with a certificate of one's own, and by a TLS proxy in front: who is believed."""

import http.client
import json
import re
import ssl
from collections import Counter
from pathlib import Path

import pytest

from tests.deploy import haproxies
from tests.deploy.engine import (
    BASE,
    LABEL,
    TLS,
    Stack,
    docker,
    eventually,
    fetch,
    json_of,
    run,
    stack,
)
from tests.deploy.scaled import SERVER
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
