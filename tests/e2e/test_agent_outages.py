"""The agent whose server goes away or is none, and whose mirror stalls until a signal comes."""

import http.server
import json
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.two_machines import two_machines
from tests.support import agent
from tests.support.site import Site, running_site
from tests.support.wait import until

pytestmark = pytest.mark.needs("pacman")


def test_run_server_away_for_a_while_is_survived(tmp_path: Path) -> None:
    one, two = two_machines(tmp_path)
    with running_site(tmp_path) as site:
        name, _ = site.enroll(site.pool(), one, two)
        agent.run(two, "set-latest").ok()
        port = site.server.port
        process = agent.start(one, "run")
        try:
            until(lambda: site.call("GET", f"/endpoints/{name}")["state"] is not None)
            site.server.stop()
            time.sleep(2)
            site.server.start()
            assert site.server.port == port
            site.call("POST", "/operations", {"kind": "sync", "endpoint": name})
            until(lambda: site.operations(name)[0]["status"] == "succeeded", 100)
        finally:
            process.terminate()
            out, _ = process.communicate(timeout=60)
        assert process.returncode == 0 and "Traceback" not in out, out


def test_sync_server_gone_at_the_end_is_reported_later(tmp_path: Path) -> None:
    """pacman is done, the server is away: the next `once` tells it, without touching the machine."""
    one, two = two_machines(tmp_path)
    with running_site(tmp_path) as site:
        name, _ = site.enroll(site.pool(), one, two)
        agent.run(two, "set-latest").ok()
        agent.run_killed_at(one, "enter:report", "sync")
        assert one.state() == two.state()
        site.server.stop()
        log = (one.directory / "pacman.log").read_text()
        done = agent.run(one, "once", "--json").refused(5)
        assert done.last["code"] == "server_unavailable"
        site.server.start()
        agent.run(one, "once").ok()
        assert site.operations(name)[0]["status"] == "succeeded"
        assert (one.directory / "pacman.log").read_text() == log


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves what the test put into `answers` by path: a function of the handler."""

    answers: dict[str, Any] = {}

    def do_GET(self) -> None:
        self.answers[self.path](self)

    do_POST = do_GET

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def web() -> Iterator[tuple[str, dict[str, Any]]]:
    """A web server of the test's own: its URL, and its answers by path."""
    answers: dict[str, Any] = {}
    handler = type("Own", (Handler,), {"answers": answers})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", answers
    server.shutdown()
    server.server_close()


def test_sync_signal_while_downloading_gives_the_operation_back(
    site: Site, tmp_path: Path, web: tuple[str, dict[str, Any]]
) -> None:
    url, answers = web
    one, two = two_machines(tmp_path)
    asked, go_on = threading.Event(), threading.Event()

    def stall(handler: http.server.BaseHTTPRequestHandler) -> None:
        asked.set()
        go_on.wait(60)

    for name in ("tool-2-1-any.pkg.tar.zst", "extra-1-1-any.pkg.tar.zst"):
        answers[f"/{name}"] = stall
    one.configure(url)
    name, _ = site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    process = agent.start(one, "sync")
    assert asked.wait(60)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    go_on.set()
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT, out
    assert "Stopped by a signal" in out
    operation = site.operations(name)[0]
    assert (operation["status"], operation["result"]["code"]) == ("failed", "interrupted")
    assert not (agent.state_dir(one) / "journal.json").exists()


def test_agent_server_that_is_none_is_said_so(tmp_path: Path, web: tuple[str, dict[str, Any]]) -> None:
    url, answers = web
    one, _ = two_machines(tmp_path)
    seen = []

    def portal(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(b"<html>Please log in</html>")

    def redirect(handler: http.server.BaseHTTPRequestHandler) -> None:
        seen.append(handler.headers.get("Authorization"))
        handler.send_response(302)
        handler.send_header("Location", f"{url}/elsewhere")
        handler.end_headers()

    answers["/api/v1/enroll"] = portal
    done = agent.run(one, "enroll", "--server", url, "--code", "psc_x", "--name", "x", "--json").refused(1)
    assert done.last["code"] == "server_unexpected"
    directory = agent.state_dir(one)
    values = {"server": url, "id": "1", "name": "x", "token": "pse_secret"}
    (directory / "credentials.json").write_text(json.dumps(values))
    answers["/api/v1/me"] = redirect
    answers["/elsewhere"] = lambda handler: seen.append("followed")
    done = agent.run(one, "status", "--json").refused(7)
    assert done.last["code"] == "server_redirects"
    assert seen == ["Bearer pse_secret"]
