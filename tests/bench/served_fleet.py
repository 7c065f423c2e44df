"""A fleet of the bench on a real server, and the least views beside it on the same PostgreSQL."""

import contextlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import fleet_of
from tests.bench.paired import Client, paired
from tests.bench.servers import Peer, running_peer
from tests.bench.sized import Extent
from tests.support.load import get
from tests.support.migrated import running_postgres
from tests.support.server import Server, manage, running_server
from tests.support.wait import until

# Nobody checks in for a while, and nobody is offline.
SETTINGS = {
    "WEB_CONCURRENCY": 1,
    "WEB_THREADS": 8,
    "ENVIRONMENT": "production",
    "LOG_LEVEL": "ERROR",
    "POLL_SECONDS": 3600,
}


@dataclass
class ServedFleet:
    """`made` is what `fleet_of.make` returned; `reader` are the headers of an operator's token."""

    url: str
    made: dict[str, Any]
    server: Server
    peer: Peer
    reader: dict[str, str]
    extent: Extent

    def asked(self, path: str, least: str = "", *, page: bool = False) -> tuple[float, float]:
        """The median seconds of both, for the API of version 1 or, with `page`, for a page."""
        # A session of the peer has another key, so it only looks the row up.
        headers = {"Cookie": f"sessionid={self.made['session']}"} if page else self.reader
        prefix = "" if page else "/api/v1"
        ours, other = Client(self.server.port, headers), Client(self.peer.port, headers)
        with contextlib.closing(ours), contextlib.closing(other):
            return paired(
                lambda: ours.get(prefix + path), lambda: other.get(prefix + (least or path)), self.extent.rounds
            )

    def call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """What the API answers the operator."""
        client = Client(self.server.port, self.reader | {"Content-Type": "application/json"})
        with contextlib.closing(client):
            found = client.ask(method, f"/api/v1{path}", json.dumps(body).encode() if body is not None else None)
        answer: dict[str, Any] = json.loads(found)
        return answer


@contextlib.contextmanager
def served(extent: Extent, size: int, *, pools: int = 20, index: bool = False) -> Iterator[ServedFleet]:
    """A fleet of `size` endpoints, served; with `index`, the index of packages is there."""
    with running_postgres(shared_buffers="512MB") as postgres, tempfile.TemporaryDirectory() as folder:
        url = postgres.create_database("bench")
        made = fleet_of.make(url, Path(folder) / "fleet", endpoints=size, packages=extent.packages, pools=pools)
        if index:
            done = manage(url, "rebuild_package_index")
            assert done.returncode == 0, done.stdout + done.stderr
        token = manage(url, "create_api_token", "bench", "--role", "operator").stdout.strip()
        with running_server(url, **SETTINGS) as server, running_peer(url, "least_fleet") as peer:
            until(lambda: get(server.port, "/health/ready")[0] == 200)
            # The first counts for the metrics compare every pair of states, in a thread beside those that answer.
            reader = {"Authorization": f"Bearer {token}"}
            until(lambda: b"fleet_endpoints{" in get(server.port, "/metrics", headers=reader)[2], 120)
            yield ServedFleet(url, made, server, peer, reader, extent)
