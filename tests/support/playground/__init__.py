"""A server for tests of faults: the real project, with a few views and cleanup tasks that can be told to misbehave.

Run it by the environment of `Playground`; each PLAYGROUND_WITHOUT_… takes one protection away, for negative twins.
"""

import json
import time
from pathlib import Path
from typing import Any

from tests.support.load import get
from tests.support.server import Server

SETTINGS = {"DJANGO_SETTINGS_MODULE": "tests.support.playground.settings", "STRUCTURED_LOGGING": "true"}


class Playground(Server):
    """A server with the playground's views. `evidence` is what its cleanup tasks wrote, line by line."""

    def __init__(self, database_url: str, folder: Path, **env: object) -> None:
        self.evidence_path = folder / "evidence"
        super().__init__(database_url, **{**SETTINGS, "PLAYGROUND_EVIDENCE": self.evidence_path, **env})

    @property
    def evidence(self) -> list[str]:
        return self.evidence_path.read_text().splitlines() if self.evidence_path.exists() else []

    def snapshot(self) -> dict[str, Any]:
        """What the workers share, as one of them sees it."""
        return dict(json.loads(get(self.port, "/snapshot")[2]))

    def workers(self) -> list[dict[str, Any]]:
        """What each worker of the snapshot says of itself, in the order of their slots."""
        return list(self.snapshot()["workers"])

    def in_flight(self) -> int:
        """Requests in flight in all workers, without the one that asks."""
        return sum(worker["in_flight"] for worker in self.workers()) - 1

    def wait_exit(self, seconds: float = 30) -> float:
        """Wait for the master's exit, which must be 0; the seconds that it took."""
        assert self.process
        began = time.monotonic()
        assert self.process.wait(seconds) == 0, self.log()
        return time.monotonic() - began

    def lines(self) -> list[dict[str, Any]]:
        """The log's JSON lines."""
        return [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]

    def shutdown_status(self) -> dict[str, Any]:
        """The one structured line that tells how the shutdown went."""
        found = [line["shutdown"] for line in self.lines() if "shutdown" in line]
        assert len(found) == 1, self.log()
        return dict(found[0])
