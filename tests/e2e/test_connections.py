"""Clients that hold their connection, half a head, or their end of it: what a probe on another connection gets then."""

import contextlib
import json
import resource
import socket
import time
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Serve, Start
from tests.support.load import get
from tests.support.wait import until


@contextlib.contextmanager
def clients(port: int, number: int, sent: bytes = b"") -> Iterator[list[socket.socket]]:
    """`number` open connections that have each sent `sent`."""
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(number)]
        for one in found:
            one.sendall(sent)
        yield found


def probe(port: int) -> int:
    """The status of a probe that may take a third of what a client below can hold anybody up."""
    return get(port, "/health/live", timeout=6)[0]


LONG = b"GET /health/live HTTP/1.1\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"x" * 3000) for n in range(6))


def test_head_of_a_probe_longer_than_is_looked_at_holds_no_other_probe(serving: Serve) -> None:
    """Reading it in the main loop would hold everybody until the client goes on."""
    server = serving()
    with clients(server.port, 2, LONG[: 16 * 1024]):
        for _ in range(3):
            assert probe(server.port) == 200


@pytest.mark.parametrize(
    "sent", [b"GET /health/live HTTP/1.0\r\n\r\n", b"GET /snapshot HTTP/1.0\r\n\r\n", b"odd\r\n\r\n"]
)
@pytest.mark.parametrize("protected", [True, False])
def test_clients_that_keep_their_end_open_after_the_answer_hold_no_probe(
    serving: Serve, sent: bytes, protected: bool
) -> None:
    """The negative twin waits 2 seconds for each of ten clients, in the main loop."""
    if not protected:
        unprotected = serving(PLAYGROUND_WITHOUT_GATHERING="1")
        # On a busy machine the main loop may not have got enough of them back when the probe comes.
        assert any(a_probe_is_held(unprotected.port, sent) for _ in range(3))
        return
    server = serving()
    with clients(server.port, 10, sent) as held:
        assert held[0].recv(100).startswith(b"HTTP/1.")
        assert probe(server.port) == 200
        for one in held:
            one.settimeout(15)
            while one.recv(4096):  # the whole answer, and the end
                pass


def a_probe_is_held(port: int, sent: bytes) -> bool:
    with clients(port, 10, sent) as held:
        assert held[0].recv(100).startswith(b"HTTP/1.")
        time.sleep(0.5)  # the main loop has got them back
        try:
            probe(port)
        except TimeoutError:
            return True
        return False


def test_next_request_begun_in_the_packet_of_the_last_one_costs_no_thread(playground: Start, sqlite_url: str) -> None:
    """What was read ahead is not in the socket any more; a thread that waited for the rest would be held."""
    sent = b"GET /snapshot HTTP/1.1\r\nHost: x\r\n\r\nG"
    with (
        playground(sqlite_url, WEB_THREADS=4, WEB_QUEUE_SIZE=0, REQUEST_READ_TIMEOUT=60) as server,
        clients(server.port, 8) as held,
    ):
        for one in held:
            one.sendall(sent)
            assert one.recv(4096).startswith(b"HTTP/1.1 200 OK")
        assert get(server.port, "/snapshot", timeout=20)[0] == 200
        for one in held:  # and the second request is still served
            one.sendall(b"ET /snapshot HTTP/1.1\r\nHost: x\r\n\r\n")
            until(lambda one=one: b"HTTP/1.1 200 OK" in one.recv(4096))  # type: ignore[misc]


def test_many_probes_in_one_packet_are_answered_in_order(serving: Serve) -> None:
    many = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n" * 500 + b"GET /snapshot HTTP/1.0\r\n\r\n"
    with clients(serving().port, 1, many) as (one,):
        one.settimeout(20)
        answers = b""
        while more := one.recv(65536):
            answers += more
        assert answers.count(b"200 OK") == 501
        assert answers.rstrip().endswith(b"}") and b'"workers"' in answers.rpartition(b"200 OK")[2]


@pytest.mark.parametrize("protected", [True, False])
def test_more_silent_connections_than_a_worker_takes_probes_answered(
    playground: Start, sqlite_url: str, protected: bool
) -> None:
    """The oldest silent one makes room; the negative twin takes no more connections."""
    env = {"GUNICORN_CMD_ARGS": "--worker-connections=1000"}
    if not protected:
        env["PLAYGROUND_WITHOUT_MAKING_ROOM"] = "1"
    with playground(sqlite_url, REQUEST_READ_TIMEOUT=60, **env) as server, clients(server.port, 1010):
        if protected:
            assert probe(server.port) == 200
        else:
            with pytest.raises(TimeoutError):
                probe(server.port)


def test_no_descriptor_left_the_worker_goes_on(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url, REQUEST_READ_TIMEOUT=60) as server:
        worker = get_worker(server.port)
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (60, 60))
        with clients(server.port, 100):
            until(lambda: "no connection can be accepted" in server.log())
            assert probe(server.port) == 200
        assert get_worker(server.port) == worker


def get_worker(port: int) -> int:
    return int(json.loads(get(port, "/snapshot")[2])["pid"])
