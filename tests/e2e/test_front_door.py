"""The shipped HAProxy configuration in front of a server: slow clients, and what one source may have."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Serve, Start
from tests.support.front_door import FrontDoor, front_door
from tests.support.load import get
from tests.support.slow_clients import BEARER, Kind, SlowClients, Upload, make_valid, slow_body, slow_reader
from tests.support.wait import until

pytestmark = pytest.mark.needs("haproxy")
BODY = slow_body(17 * 1024, token=True, path="/measure")
READER = slow_reader("/letters/3000000")
OLD = {"maxconn 128 maxqueue 64": "maxconn 8 maxqueue 64", "timeout queue 10s": "timeout queue 2s"}


@pytest.fixture
def sqlite_url(sqlite_url: str) -> str:
    """A database in which the token is valid."""
    return make_valid(sqlite_url)


def ask(port: int, path: str, source: str = "127.0.0.1", fields: str = "") -> tuple[int, str, str]:
    """Status, head and body of one GET from this address."""
    with socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(source, 0)) as one:
        one.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n{fields}\r\n".encode())
        answer = b""
        while piece := one.recv(65536):
            answer += piece
    head, _, body = answer.decode().partition("\r\n\r\n")
    return int(head.split()[1]), head.lower(), body


@contextlib.contextmanager
def asking(port: int, number: int, path: str, source: str, fields: str = "") -> Iterator[list[socket.socket]]:
    """`number` requests under way from this address."""
    with contextlib.ExitStack() as stack:
        found = []
        for _ in range(number):
            one = stack.enter_context(
                socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(source, 0))
            )
            one.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n".encode())
            found.append(one)
        time.sleep(1)
        yield found


@pytest.mark.parametrize("kind", [BODY, READER], ids=lambda kind: kind.name)
def test_slow_clients_hold_nobody_up_at_the_front_door(serving: Serve, kind: Kind) -> None:
    server = serving()
    with front_door([server.port]) as door, SlowClients(door.port, kind, 60):
        time.sleep(2)
        for _ in range(5):
            assert get(door.port, "/health/ready", timeout=10)[0] == 200
            assert get(door.port, "/snapshot", timeout=10)[0] == 200
            assert get(door.monitoring, "/health/ready", timeout=10)[0] == 200


@pytest.mark.parametrize("kind", [BODY, READER], ids=lambda kind: kind.name)
def test_with_eight_places_slow_clients_take_them_all(playground: Start, sqlite_url: str, kind: Kind) -> None:
    """The negative twin: as it was."""
    env = {"PLAYGROUND_WITHOUT_GATHERING": "1", "REQUEST_READ_TIMEOUT": 60}
    with (
        playground(sqlite_url, **env) as server,
        front_door([server.port], OLD) as door,
        SlowClients(door.port, kind, 60),
    ):
        time.sleep(2)
        assert get(door.port, "/snapshot", timeout=20)[0] == 503


def test_slow_uploads_finish_through_the_front_door_beside_slow_clients(serving: Serve) -> None:
    server = serving()
    with front_door([server.port]) as door, SlowClients(door.port, BODY, 30):
        assert get(server.port, "/snapshot", timeout=60)[0] == 200  # the first request of a worker takes long
        uploads = [Upload(door.port, "/measure", b"x" * 300_000, 60_000, BEARER) for _ in range(20)]
        for upload in uploads:
            upload.start()
        for upload in uploads:
            upload.join(60)
        assert [upload.status for upload in uploads] == ["200"] * 20


def refused(answer: tuple[int, str, str]) -> str:
    """The code of a refusal with 429."""
    status, head, body = answer
    assert (status, json.loads(body)["status"]) == (429, 429)
    assert "retry-after:" in head
    assert "content-type: application/problem+json" in head
    return str(json.loads(body)["code"])


def test_one_source_has_its_number_of_requests_at_once_and_others_theirs(serving: Serve) -> None:
    server = serving()
    with (
        front_door([server.port], SOURCE_REQUESTS_AT_ONCE=3) as door,
        asking(door.port, 3, "/sleep/6000", "127.0.0.2"),
    ):
        assert refused(ask(door.port, "/snapshot", "127.0.0.2")) == "too_many_connections"
        assert ask(door.port, "/snapshot", "127.0.0.3")[0] == 200
        assert ask(door.monitoring, "/health/ready", "127.0.0.2")[0] == 200


def test_raised_limits_let_one_source_ask_more(serving: Serve) -> None:
    """The negative twin of both limits."""
    env = {"SOURCE_REQUESTS_AT_ONCE": 50, "SOURCE_REQUESTS_IN_10_SECONDS": 500, "SOURCE_CONNECTIONS": 500}
    server = serving()
    with (
        front_door([server.port], **env) as door,
        asking(door.port, 3, "/sleep/6000", "127.0.0.2"),
    ):
        assert {ask(door.port, "/snapshot", "127.0.0.2")[0] for _ in range(20)} == {200}


def test_one_source_asks_so_often_and_no_more(serving: Serve) -> None:
    server = serving()
    with front_door([server.port], SOURCE_REQUESTS_IN_10_SECONDS=5) as door:
        found = [ask(door.port, "/health/live", "127.0.0.2") for _ in range(10)]
        assert [status for status, _, _ in found[:5]] == [200] * 5
        assert refused(found[-1]) == "too_many_requests"
        assert ask(door.port, "/health/live", "127.0.0.3")[0] == 200


def test_one_source_has_its_number_of_connections(serving: Serve) -> None:
    server = serving()
    with (
        front_door([server.port], SOURCE_CONNECTIONS=5) as door,
        contextlib.ExitStack() as stack,
    ):

        def connection() -> socket.socket:
            return stack.enter_context(
                socket.create_connection(("127.0.0.1", door.port), timeout=10, source_address=("127.0.0.2", 0))
            )

        for _ in range(5):
            connection()
        # HAProxy's threads accept them in any order: one of the first six is the one too many.
        until(lambda: ask(door.port, "/snapshot", "127.0.0.2")[0] == 429)
        assert refused(ask(door.port, "/snapshot", "127.0.0.2")) == "too_many_connections"
        with contextlib.suppress(ConnectionResetError):  # twice too many: ended without a word
            silent = [connection() for _ in range(20)]
            assert silent[-1].recv(1) == b""
        assert ask(door.port, "/snapshot", "127.0.0.3")[0] == 200


@pytest.mark.parametrize(
    "held,asks,refuses",
    [
        ("198.51.100.1", "198.51.100.1", True),
        ("198.51.100.1", "198.51.100.2", False),
        ("2001:db8:0:1::1", "2001:db8:0:1:2::9", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
    ],
)
def test_clients_behind_a_trusted_proxy_are_counted_one_by_one(
    serving: Serve, held: str, asks: str, refuses: bool
) -> None:
    env = {"TRUSTED_PROXIES": "127.0.0.1", "SOURCE_REQUESTS_AT_ONCE": 3, "SOURCE_CONNECTIONS": 1}
    server = serving()
    with (
        front_door([server.port], **env) as door,
        asking(door.port, 3, "/sleep/6000", "127.0.0.1", f"X-Forwarded-For: {held}\r\n"),
    ):
        answer = ask(door.port, "/snapshot", fields=f"X-Forwarded-For: {asks}\r\n")
        assert (refused(answer) == "too_many_connections") if refuses else (answer[0] == 200)


def test_refusals_of_the_instance_reach_the_client(serving: Serve) -> None:
    def status(door: FrontDoor, kind: Kind) -> str:
        upload = Upload(door.port, "/measure", b"x" * 200_000, 100_000)
        upload.run()
        return upload.status

    server = serving()
    with front_door([server.port]) as door:
        assert status(door, BODY) == "413"
