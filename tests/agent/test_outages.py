"""Outages of mirrors and servers: what they cost in all, and when an attempt is made again."""

import contextlib
import http.server
import socket
import threading
import time
from pathlib import Path

import pytest

from apps.agent.pacsync_agent.errors import Unavailable
from apps.agent.pacsync_agent.mirrors import retry_schedule
from apps.agent.pacsync_agent.mirrors.network import NotThere
from apps.agent.pacsync_agent.mirrors.retry_schedule import Patience
from apps.agent.pacsync_agent.server.client import Client
from tests.agent.failing_mirrors import CONTENT, get, network, says, turns
from tests.support.hostile import Hostile


def test_host_that_comes_up_and_a_name_that_never_does(tmp_path: Path) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT)

        def log_message(self, *arguments: object) -> None:
            pass

    def serve() -> None:
        time.sleep(2)
        with http.server.HTTPServer(("127.0.0.1", port), Handler) as server:
            server.handle_request()

    thread = threading.Thread(target=serve)
    thread.start()
    assert get(network(30), tmp_path / "part", f"http://127.0.0.1:{port}") == CONTENT
    thread.join()
    began = time.monotonic()
    with pytest.raises(NotThere, match="its name can't be resolved") as error:
        get(network(3), tmp_path / "part", "http://mirror.invalid")
    assert error.value.failing[0][1].kind == "network" and time.monotonic() - began < 40


def test_outage_costs_its_time_once_and_not_for_each_file(tmp_path: Path) -> None:
    began = time.monotonic()
    with Hostile(says("503 Service Unavailable")) as mirror:
        known = network(4)
        for number in range(20):
            with pytest.raises(NotThere):
                get(known, tmp_path / f"part-{number}", mirror.url)
    assert time.monotonic() - began < 10
    assert len(mirror.paths) < 20


def test_patience_of_all_outages_together_has_an_end() -> None:
    known = Patience(outage=5, total=1.0)
    assert 0 < known.pause(0, 0) <= 1
    time.sleep(0.6)
    known.worked()
    assert not known.pause(0, 0.6)  # of all together, less than that is left


@pytest.mark.parametrize("status", [500, 502, 503, 504, 520, 429, 408])
def test_server_that_fails_for_a_moment_is_asked_again(status: int) -> None:
    fails, works = says(f"{status} Oh"), lambda peer: peer.answer(b'{"name": "m1"}')
    with Hostile(turns(fails, fails, works)) as server:
        assert Client(server.url, "pse_x").get("/me") == {"name": "m1"}
    with Hostile(fails) as server, pytest.raises(Unavailable):
        Client(server.url, "pse_x", patience=0).get("/me")


def test_pause_grows_and_what_is_asked_for_counts() -> None:
    known = Patience(outage=1000, total=1000)
    pauses = [known.pause(attempt, 0) for attempt in range(8)]
    assert all(0.5 * retry_schedule.FIRST <= pause <= retry_schedule.LONGEST for pause in pauses)
    assert max(pauses[4:]) > 7 > max(pauses[:2])
    assert known.pause(0, 33) == 33
