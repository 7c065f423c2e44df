"""What a server logs of requests that anybody can make, and of an outage: one line for each request, no traceback."""

import re
import signal
import socket
import struct
from collections import Counter

import pytest

from tests.e2e.conftest import Serve, Start
from tests.support.load import Load, get
from tests.support.playground import Playground
from tests.support.postgres import Postgres
from tests.support.wait import until

HOST = b"Host: 127.0.0.1\r\n"
FORM = b"Content-Type: application/x-www-form-urlencoded"
REQUESTS: dict[str, tuple[bytes, bytes, bytes]] = {  # the request's line, its fields, its body
    "junk in Host": (b"GET /login", b"Host: evil host\r\n", b""),
    "another Host": (b"GET /api/v1/pools", b"Host: evil.example\r\n", b""),
    "no such page": (b"GET /nope", HOST, b""),
    "the head of no page": (b"HEAD /nope", HOST, b""),
    "a path that only begins like a probe's": (b"GET /healthz", HOST, b""),
    "no such route": (b"GET /api/v1/nope", HOST, b""),
    "no such file": (b"GET /static/nope.0123456789ab.js", HOST, b""),
    "a line of its own in the path": (b"GET /a%0a2026-11-27%20INFO%20forged%1b[31m", HOST, b""),
    "a method that the page doesn't take": (b"PUT /agent/pacsync-agent", HOST, b""),
    "no CSRF token": (b"POST /login", HOST, b"username=ada"),
    "no token": (b"GET /api/v1/pools", HOST, b""),
    "no JSON": (b"POST /api/v1/enroll", HOST + b"Content-Type: application/json\r\n", b"{nope"),
    "an unknown character set": (b"POST /login", HOST + FORM + b"; charset=nope\r\n", b"a=%ff"),
    "too many fields": (b"POST /login", HOST + FORM + b"\r\n", b"&".join(b"a%d=1" % one for one in range(1100))),
    "a broken form": (b"POST /login", HOST + b"Content-Type: multipart/form-data; boundary=\xff\r\n", b"--\xff"),
    "a broken origin": (b"POST /login", HOST + b"Origin: http://[::1\r\n", b"a=b"),
}


def status(port: int, request: tuple[bytes, bytes, bytes], identity: str) -> int:
    line, fields, body = request
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        more = f"X-Request-ID: {identity}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        client.sendall(line + b" HTTP/1.1\r\n" + fields + more + body)
        answer = client.makefile("rb").read()
    return int(answer[9:12])


def lines_of(server: Playground, identity: str) -> list[str]:
    """All lines of the request with this id, once those of a later one are there."""
    get(server.port, "/snapshot", headers={"X-Request-ID": f"after-{identity}"})
    until(lambda: f"after-{identity}" in server.log(), otherwise=server.log)
    return [line for line in server.log().splitlines() if identity in line and f"after-{identity}" not in line]


@pytest.mark.parametrize("structured", ["true", "false"])
def test_refused_request_is_one_line_without_a_traceback(serving: Serve, structured: str) -> None:
    server = serving(STRUCTURED_LOGGING=structured, ALLOWED_HOSTS="127.0.0.1")
    for number, (what, request) in enumerate(REQUESTS.items()):
        identity = f"id-{number}-{structured}"
        assert 400 <= status(server.port, request, identity) < 500, what
        said = lines_of(server, identity)
        assert len(said) == 1, f"{what}: {said}"
    assert "Traceback" not in server.log()
    assert "no-body response" not in server.log()
    assert "gunicorn.http.wsgi" not in server.log()
    assert "\x1b" not in server.log() and "\n2026-11-27 INFO forged" not in server.log()
    assert "Invalid HTTP_HOST header: 'evil host'" in server.log()
    assert "CSRF cookie not set" in server.log()


def test_client_that_goes_at_any_moment_leaves_no_traceback(serving: Serve) -> None:
    server = serving()
    whole = b"GET /letters/1000000 HTTP/1.1\r\n" + HOST + b"\r\n"
    for sent in (whole[:20], whole, whole * 20, b"POST /login HTTP/1.1\r\n" + HOST + b"Content-Length: 99\r\n\r\nhalf"):
        for reset in (True, False):
            with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
                client.sendall(sent)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", reset, 0))
    until(lambda: server.in_flight() == 0, 60)
    assert "Traceback" not in server.log()


def tracebacks(server: Playground) -> list[str]:
    """All but that of the playground's own cleanup task."""
    found = [line["exc_info"] for line in server.lines() if "exc_info" in line]
    return [text for text in found if "a cleanup task that fails" not in text]


def lines_of_no_request(server: Playground) -> Counter[str]:
    """How often each text was logged that isn't a request's own line, numbers apart."""
    found = [line for line in server.lines() if line["logger"] != "gunicorn.access"]
    return Counter(re.sub(r"[0-9.]+", "N", f"{line['logger']}: {line['message']}") for line in found)


def test_outage_costs_lines_for_its_beginning_and_end_whatever_the_load(playground: Start, postgres: Postgres) -> None:
    """Rounds of checks, background loops and requests all go on meanwhile."""
    quick = {"HEALTH_CHECK_INTERVAL": 0.2, "INSTANCE_HEARTBEAT_INTERVAL": 0.2, "DB_POOL_CHECK_INTERVAL": 0.2}
    with playground(postgres.url(), DB_POOL_TIMEOUT=1, **quick) as server:
        until(lambda: get(server.port, "/health/ready")[0] == 200, 60)
        postgres.stop()
        with Load(server.port, "/query") as pages, Load(server.port, "/api/v1/me") as routes:
            until(lambda: pages.seen[503] > 300 and routes.seen.total() > 50, 120)
        often = {text: count for text, count in lines_of_no_request(server).items() if count > 3}
        assert not often, often  # a slow machine may see the database go, come and go
        assert "Service Unavailable" not in server.log()
        failed = [line for line in server.lines() if line.get("status") == 503]
        assert failed and all("reason" in line for line in failed)
        server.signal(signal.SIGTERM)
        server.wait_exit(60)
        assert tracebacks(server) == []


def test_sigterm_while_the_database_is_away_leaves_no_traceback(playground: Start, postgres: Postgres) -> None:
    with playground(postgres.url(), WEB_CONCURRENCY=2) as server:
        until(lambda: get(server.port, "/health/ready")[0] == 200, 60)
        assert get(server.port, "/query")[0] == 200
        postgres.stop()
        server.signal(signal.SIGTERM)
        server.wait_exit(60)
        assert tracebacks(server) == []
