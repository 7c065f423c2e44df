"""A mirror in a bad moment, a pool with automatic sync: tried again within the run, then by the server. Real pacman."""

import contextlib
import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import agent
from tests.support.pacman import Fleet, Machine
from tests.support.server import manage
from tests.support.site import Site

pytestmark = pytest.mark.needs("pacman")

OLD, NEW = "2025/01/01", "2025/02/01"


class Mirror(http.server.ThreadingHTTPServer):
    """The fleet's repositories; the next `failures` requests of packages get `status`, if it isn't 0."""

    status = 0
    failures = 1000
    asked = 0


class Handler(http.server.SimpleHTTPRequestHandler):
    server: Mirror

    def do_GET(self) -> None:
        if ".pkg.tar" not in self.path:
            return super().do_GET()
        self.server.asked += 1
        if not self.server.status or not self.server.failures:
            return super().do_GET()
        self.server.failures -= 1
        self.send_response(self.server.status)
        self.send_header("Retry-After", "1")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        pass


@contextlib.contextmanager
def mirror(directory: Path) -> Iterator[Mirror]:
    with Mirror(("127.0.0.1", 0), functools.partial(Handler, directory=str(directory))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def behind(site: Site, fleet: Fleet) -> Iterator[tuple[Machine, str, Mirror]]:
    """A machine behind its pool's target, its name, and the one mirror that it has."""
    fleet.snapshot(OLD, [fleet.package("tool", "1-1"), fleet.package("base", "1-1")])
    fleet.snapshot(NEW, [fleet.package("tool", "2-1"), fleet.package("base", "2-1")])
    one, two = fleet.machine("m1", OLD, trusting=False), fleet.machine("m2", NEW)
    one.install("tool", "base")
    two.install("tool", "base")
    name, _ = site.enroll(site.pool(auto_sync=True), one, two)
    with mirror(fleet.archive) as server:
        one.configure(f"http://127.0.0.1:{server.server_address[1]}/repos/{NEW}/$repo/os/$arch")
        one.pacman("-Sy")
        one.empty_cache()
        agent.run(two, "set-latest").ok()
        yield one, name, server


@pytest.mark.parametrize("status", [429, 503])
def test_mirror_that_is_well_again_within_the_run_costs_nothing_but_time(
    behind: tuple[Machine, str, Mirror], site: Site, status: int
) -> None:
    one, name, server = behind
    one.agent_config(patience=90)
    server.status, server.failures = status, 5
    done = agent.run(one, "once").ok()
    assert "waiting for" in done.out and str(status) in done.out, done
    assert one.state()["tool"][0] == "2-1"
    [operation] = site.operations(name)
    assert (operation["status"], operation["retries"]) == ("succeeded", 0)


def test_mirror_that_stays_ill_has_the_server_try_again_and_automatic_sync_goes_on(
    behind: tuple[Machine, str, Mirror], site: Site
) -> None:
    one, name, server = behind
    server.status = 429
    done = agent.run(one, "once").refused(5)
    assert "429" in done.err and "The next try is at" in done.out and "anywhere" not in done.err, done
    [operation] = site.operations(name)
    assert (operation["status"], operation["retries"]) == ("queued", 1)
    assert operation["result"]["code"] == "mirror_failed" and operation["retry_at"]
    server.status = 0
    asked = server.asked
    agent.run(one, "once").ok()  # not before its time
    assert server.asked == asked and one.state()["tool"][0] == "1-1"
    assert "the next try is at" in agent.run(one, "status").ok().out
    come_due(site)
    agent.run(one, "once").ok()
    assert one.state()["tool"][0] == "2-1"
    [operation] = site.operations(name)
    assert (operation["status"], operation["retries"], operation["retry_at"]) == ("succeeded", 1, None)


def test_file_that_no_mirror_has_is_the_end(behind: tuple[Machine, str, Mirror], site: Site) -> None:
    one, name, server = behind
    server.status = 404
    done = agent.run(one, "once").refused(3)
    assert "can't be had" in done.err
    [operation] = site.operations(name)
    assert (operation["status"], operation["result"]["code"]) == ("failed", "package_unavailable")
    server.status = 0
    agent.run(one, "once").ok()
    assert one.state()["tool"][0] == "1-1"  # automatic sync doesn't try this revision again


def test_person_who_asks_meanwhile_needs_not_wait(behind: tuple[Machine, str, Mirror], site: Site) -> None:
    one, name, server = behind
    server.status = 503
    agent.run(one, "once").refused(5)
    server.status = 0
    agent.run(one, "sync").ok()
    assert [operation["status"] for operation in site.operations(name)] == ["succeeded", "cancelled"]
    assert one.state()["tool"][0] == "2-1"


def come_due(site: Site) -> None:
    """As if the pause were over."""
    text = (
        "from apps.fleet.models import Operation as O; O.objects.filter(retries=1).update(retry_at='2020-01-01T00:00Z')"
    )
    done = manage(site.database_url, "shell", "-c", text)
    assert done.returncode == 0, done.stderr
