"""Broken releases under a real gunicorn, beside the one that is whole, and the start as it was before (the twin)."""

import http.client
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import migrated
from tests.support.load import get
from tests.support.release import Release, ReleaseServer
from tests.support.wait import until

BROKEN = "\nimport no_such_module\n"
Start = Callable[..., ReleaseServer]


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return Release(tmp_path / "release")


@pytest.fixture
def launch(release: Release, tmp_path: Path) -> Iterator[Start]:
    """Start a gunicorn of the release on a migrated database; ended at the end."""
    database = migrated.sqlite(tmp_path / "db.sqlite3")
    started: list[ReleaseServer] = []

    def start(**env: object) -> ReleaseServer:
        started.append(ReleaseServer(release, database, **env))
        started[-1].launch()
        return started[-1]

    yield start
    for server in started:
        server.discard()


def statuses_until_it_ends(server: ReleaseServer, path: str) -> list[int]:
    """What the server answers until it ends by itself. AssertionError when it doesn't."""
    found = []
    deadline = time.monotonic() + 60
    assert server.process is not None
    while server.process.poll() is None:
        assert time.monotonic() < deadline, f"the server still runs\n{server.log()}"
        try:
            found.append(get(server.port, path, timeout=2)[0])
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
    return found


def wait_until_ready(server: ReleaseServer) -> None:
    unanswered = (OSError, http.client.HTTPException)
    until(lambda: get(server.port, "/health/ready")[0] == 200, 60, ignoring=unanswered, otherwise=server.log)


@pytest.mark.parametrize("env", [{}, {"WEB_CONCURRENCY": 2}, {"WEB_CONCURRENCY": 2, "PRELOAD_APP": "true"}])
def test_start_broken_view_is_never_ready(release: Release, launch: Start, env: dict[str, object]) -> None:
    release.append("apps/dashboard/views/endpoints/page.py", BROKEN)
    server = launch(**env)
    answered = statuses_until_it_ends(server, "/health/ready")
    assert server.process is not None
    assert (answered, server.process.returncode) == ([], 3), server.log()
    lines = [line for line in server.log().splitlines() if "this release can't serve" in line]
    assert len(lines) >= 1
    assert "apps/dashboard/views/endpoints/page.py, line " in lines[0]


def test_start_missing_template_is_never_ready(release: Release, launch: Start) -> None:
    release.remove("apps/dashboard/templates/pacsync/login.html")
    server = launch()
    answered = statuses_until_it_ends(server, "/health/live")
    assert server.process is not None
    assert (answered, server.process.returncode) == ([], 3), server.log()


def test_start_whole_release_is_ready(launch: Start) -> None:
    server = launch()
    wait_until_ready(server)
    assert get(server.port, "/login")[0] == 200


def test_start_without_loading_a_broken_view_is_ready_and_answers_500(release: Release, launch: Start) -> None:
    release.append("apps/dashboard/views/endpoints/page.py", BROKEN)
    old = "from django.core.wsgi import get_wsgi_application\n    django_application = get_wsgi_application()"
    release.replace("pacsync/wsgi.py", "django_application = preloading.load()", old)
    server = launch()
    wait_until_ready(server)
    assert get(server.port, "/login")[0] == 500
