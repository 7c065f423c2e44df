"""Databases, servers, machines and browsers for the end-to-end tests. It must not know what they are used for."""

import http.client
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from tests.support import migrated
from tests.support.browser import Browser, origin, running_browser
from tests.support.migrated import MigratedPostgres
from tests.support.pacman import Fleet
from tests.support.playground import Playground
from tests.support.site import Site, running_site
from tests.support.slow_clients import make_valid
from tests.support.wait import until

Start = Callable[..., AbstractContextManager[Playground]]
Serve = Callable[..., Playground]
CLEANED = ["async", "first"]  # the playground's cleanup tasks in reverse order; the one between them fails


@pytest.fixture(scope="session")
def shared_postgres() -> Iterator[MigratedPostgres]:
    """One PostgreSQL for the tests of a worker that leave it running."""
    with migrated.running_postgres() as server:
        yield server


@pytest.fixture
def postgres() -> Iterator[MigratedPostgres]:
    """A PostgreSQL of the test's own, which it may freeze, stop and restart."""
    with migrated.running_postgres() as server:
        yield server


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A migrated SQLite database of the test's own."""
    return migrated.sqlite(tmp_path / "database.sqlite3")


@pytest.fixture
def postgres_url(shared_postgres: MigratedPostgres) -> str:
    """A migrated PostgreSQL database of the test's own, on the shared server."""
    return shared_postgres.create_database(f"test_{uuid.uuid4().hex}")


@pytest.fixture
def playground(tmp_path: Path) -> Start:
    """`with playground(database_url, VARIABLE=value) as server:` a started server, killed at the end."""

    def start(database_url: str, **env: object) -> AbstractContextManager[Playground]:
        return Playground(database_url, tmp_path, **env).started()

    return start


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """`serving(VARIABLE=value)`: a server on SQLite, started for the first test of a module that asks for these values.

    For tests that leave it as it was. Each gets it with nothing in flight: what the last one left under way has ended.
    """
    servers: dict[tuple[tuple[str, object], ...], Playground] = {}
    with ExitStack() as stack:

        def serve(**env: object) -> Playground:
            key = tuple(sorted(env.items()))
            if key not in servers:
                folder = tmp_path_factory.mktemp("serving")
                server = Playground(make_valid(migrated.sqlite(folder / "database.sqlite3")), folder, **env)
                servers[key] = stack.enter_context(server.started())
            until(lambda: is_idle(servers[key]), 60)
            return servers[key]

        yield serve


def is_idle(server: Playground) -> bool:
    """Whether the only request in flight is the one that asks."""
    try:
        return server.in_flight() == 0
    except (OSError, http.client.HTTPException):
        return False


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """Packages, repositories and machines of the test's own."""
    return Fleet(tmp_path)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server for the agents of all tests of a worker: each has machines and a pool under names of its own."""
    with running_site(tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for all tests of a module, which use `silent_browser`, too."""
    with running_browser() as running:
        yield running


@pytest.fixture
def silent_browser(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test: the console is silent, and nothing was asked but of `server` and `empty_server`."""
    used = set(request.fixturenames)
    own = {request.getfixturevalue(name).url for name in ("server", "empty_server") if name in used}
    browser: Browser | None = request.getfixturevalue("browser") if "browser" in used else None
    yield
    if browser:
        browser.driver.get("about:blank")  # no page goes on refreshing itself
        browser.assert_silent("the end of the test")
        assert [address for address in browser.addresses() if origin(address) not in own] == []
