"""Releases that can't serve, met at a reload: the old workers serve on, and one line says why."""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.reloading import refusals, replaced, workers
from tests.support import migrated
from tests.support import release_copy as release
from tests.support.load import get
from tests.support.release_copy import ReleasePlayground
from tests.support.sample import every
from tests.support.wait import until

pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True)
class Break:
    """One way to break a file of a release. `said` is what the line must say of it."""

    name: str
    file: str
    change: Callable[[str], str] | None  # None: the file is gone
    said: str


def add(text: str) -> Callable[[str], str]:
    return lambda before: f"{before}\n{text}\n"


def first(text: str) -> Callable[[str], str]:
    return lambda before: f"{text}\n{before}"


def swap(old: str, new: str) -> Callable[[str], str]:
    def change(before: str) -> str:
        assert old in before
        return before.replace(old, new, 1)

    return change


SYNTAX, IMPORT, RAISE = add("def ("), first("import no_such_module"), add('raise RuntimeError("half a release")')
MIGRATION = "0002_broken.py"
MIGRATIONS = "apps/fleet/migrations/"
URLS = "pacsync/urls.py"
PENDING = """
from django.db import migrations
class Migration(migrations.Migration):
    dependencies = [("fleet", "%s")]
    operations = []
"""
BREAKS = [
    *(
        Break(f"{kind}-{file}", file, change, said)
        for kind, change, said in (
            ("syntax", SYNTAX, "SyntaxError"),
            ("import", IMPORT, "no_such_module"),
            ("raise", RAISE, "half a release"),
        )
        for file in (
            "apps/fleet/models/pools.py",
            "apps/dashboard/views/pools/page.py",
            "apps/api/routes/pools/pools.py",
            "pacsync/settings.py",
            URLS,
            "deploy/gunicorn.conf.py",
            "apps/fleet/apps.py",
        )
    ),
    Break("middleware-gone", "apps/health/middleware.py", None, "apps.health.middleware"),
    Break("view-gone", "apps/dashboard/views/pools/page.py", None, "pools"),
    Break("urls-gone", "apps/dashboard/urls.py", None, "apps.dashboard.urls"),
    Break("wsgi-gone", "pacsync/wsgi.py", None, "pacsync.wsgi"),
    Break("settings-gone", "pacsync/settings.py", None, "settings"),
    Break("configuration-gone", "deploy/gunicorn.conf.py", None, "gunicorn.conf.py"),
    Break("trial-gone", "apps/lifecycle/gunicorn/reload/trial.py", None, "apps.lifecycle.gunicorn.reload.trial"),
    Break("view-renamed", "apps/dashboard/urls.py", swap("pool_page.detail", "pool_page.no_such_view"), "no_such_view"),
    Break("pattern", URLS, swap('path("admin/"', 'path("<nothing:admin>/"'), "nothing"),
    Break("app-unknown", "pacsync/settings.py", swap('"apps.agent",', '"apps.no_such_app",'), "no_such_app"),
    Break("template", "apps/dashboard/templates/pacsync/pools/page.html", add("{% if %}"), "template"),
    Break("template-tag", "apps/dashboard/templates/404.html", add("{% load no_such_tags %}"), "no_such_tags"),
    Break("setting", "pacsync/settings.py", swap('whole("WEB_THREADS", 16', 'whole("WEB_THREADS", 1'), "WEB_THREADS"),
    Break("option", "deploy/gunicorn.conf.py", add('workers = "many"'), "many"),
    Break("worker-class", "deploy/gunicorn.conf.py", add('worker_class = "no.such.Worker"'), "no.such"),
    Break("logging", "deploy/gunicorn.conf.py", add('logconfig_dict = {"version": 7}'), "version"),
    Break("address", "deploy/gunicorn.conf.py", add('bind = ["127.0.0.1:1"]'), "address"),
    Break("migration-syntax", MIGRATIONS + MIGRATION, SYNTAX, "SyntaxError"),
    Break("migration-pending", MIGRATIONS + MIGRATION, add(PENDING % "LEAF"), "lacks 1 migration"),
    Break(
        "master",
        "apps/lifecycle/shared_memory/layout.py",
        add("# another layout"),
        "apps/lifecycle/shared_memory/layout.py has changed",
    ),
    Break("nothing-in-it", URLS, lambda before: "", "urlpatterns"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReleasePlayground]:
    folder = tmp_path_factory.mktemp("reload")
    database = migrated.sqlite(folder / "database.sqlite3")
    with ReleasePlayground(release.copy(folder / "release"), database, folder).started() as one:
        until(lambda: get(one.port, "/health/ready")[0] == 200)
        yield one
        assert one.stop() == 0


def refused(server: ReleasePlayground, said: str) -> None:
    """Send SIGHUP; it is refused in one line that says so, and the same workers go on, ready throughout."""
    before, old = len(refusals(server)), workers(server)
    server.signal(signal.SIGHUP)

    def answered() -> bool:
        assert get(server.port, "/health/ready")[0] == 200
        return len(refusals(server)) > before

    until(answered, 150)
    line = refusals(server)[-1]
    assert said in line, line
    assert "\n" not in line and len(line) < 700
    assert workers(server) == old
    assert server.process is not None and server.process.poll() is None


@pytest.mark.parametrize("broken", every(4, BREAKS), ids=lambda broken: broken.name)
def test_broken_release_at_reload_is_refused_in_one_line(server: ReleasePlayground, broken: Break) -> None:
    path = server.root / broken.file
    good = path.read_text() if path.exists() else None
    leaf = max(one.stem for one in (server.root / MIGRATIONS).glob("0*.py"))
    try:
        if broken.change is None:
            path.unlink()
        else:
            path.write_text(broken.change(good or "").replace("LEAF", leaf))
        refused(server, broken.said)
    finally:
        path.unlink(missing_ok=True)
        if good is not None:
            path.write_text(good)


def test_folder_that_is_gone_is_refused_and_loads_once_it_is_back(server: ReleasePlayground) -> None:
    old, elsewhere = workers(server), server.root.with_name("moved")
    server.root.rename(elsewhere)
    try:
        refused(server, str(server.root))
    finally:
        elsewhere.rename(server.root)
    server.signal(signal.SIGHUP)
    until(lambda: replaced(server, old, 1), 150)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_file_that_may_not_be_read_is_refused(server: ReleasePlayground) -> None:
    path = server.root / URLS
    path.chmod(0)
    try:
        refused(server, "ermission")
    finally:
        path.chmod(0o644)


def test_without_a_trial_a_broken_release_ends_the_service(sqlite_url: str, tmp_path: Path) -> None:
    """The negative twin is gunicorn's own reload."""
    root = release.copy(tmp_path / "release")
    with ReleasePlayground(root, sqlite_url, tmp_path, PLAYGROUND_WITHOUT_OVERLAP=1).started() as server:
        (root / "deploy/gunicorn.conf.py").write_text("def (")
        server.signal(signal.SIGHUP)
        assert server.process is not None
        assert server.process.wait(60) != 0
