"""A PacSync server with an operator's token, to which the machines of a test fleet are enrolled.

It must not know what a test does with them.
"""

import contextlib
import http.client
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support import agent, migrated
from tests.support.pacman import Machine
from tests.support.server import Server, manage, running_server

_numbers = itertools.count(1)


class Site:
    """`call` speaks to the API as an operator; `enroll` puts machines into a pool."""

    def __init__(self, server: Server, database_url: str) -> None:
        self.server = server
        self.database_url = database_url
        self.token = self._manage("create_api_token", f"tests-{next(_numbers)}", "--role", "operator")

    def _manage(self, *arguments: str) -> str:
        done = manage(self.database_url, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """The answer of the API. AssertionError with what it says when it refuses."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        connection.request(method, f"/api/v1{path}", json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        assert answer.status < 400, f"{method} {path}: {answer.status} {content.decode()}"
        return json.loads(content) if content else {}

    def pool(self, **policy: Any) -> str:
        """Make a pool; its name."""
        name = f"pool-{next(_numbers)}"
        self.call("POST", "/pools", {"name": name, **policy})
        return name

    def code(self, pool: str, uses: int = 20) -> str:
        made = self.call("POST", "/enrolment-codes", {"pool": pool, "uses": uses, "may_set_targets": True})
        return str(made["code"])

    def enroll(self, pool: str, *machines: Machine) -> list[str]:
        """Enrol these machines under names of their own; the names."""
        code = self.code(pool)
        names = []
        for machine in machines:
            names.append(f"{machine.name}-{next(_numbers)}")
            agent.run(machine, "enroll", "--server", self.server.url, "--code", code, "--name", names[-1]).ok()
        return names

    def operations(self, name: str) -> list[dict[str, Any]]:
        """The operations of an endpoint, newest first."""
        found = self.call("GET", f"/operations?endpoint={name}")["items"]
        assert isinstance(found, list)
        return found


@contextlib.contextmanager
def running_site(directory: Path, **env: object) -> Iterator[Site]:
    """A server on a new SQLite database in `directory`. The archive that it names is one that no agent asks."""
    url = migrated.sqlite(directory / "site.sqlite3")
    with running_server(url, **{"POLL_SECONDS": 1, "PACKAGE_ARCHIVE_URL": "http://127.0.0.1:9", **env}) as server:
        yield Site(server, url)
