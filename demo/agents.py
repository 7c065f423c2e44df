"""Simulated agents: each speaks to the server as the real agent does (docs/protocol.md), and pretends to work.

They check in, claim operations, take as long for them as a machine would, and sometimes fail. It must not know the
database.
"""

import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from apps.fleet.alpm import state as state_text
from apps.fleet.alpm.state import InstalledPackage
from demo import failures, reported
from demo.api import Api, Refused
from demo.machines import Machine

Step = Callable[[], float | None]
"""One step of an agent. Returns the seconds until the next one; None means the next check-in."""
FAILURES = 0.04
"""The share of the operations that fail."""
PROMPT = 0.3
"""The probability that a check-in starts a queued operation. So a rollout takes some minutes."""


@dataclass
class Agent:
    """The agent of one machine. `step()` takes its next step."""

    machine: Machine
    token: str
    api: Api
    state: str
    repositories: list[dict[str, object]]
    holds: list[str]
    problems: Sequence[Mapping[str, object]]
    away: bool = False
    poll: float = 25.0
    chance: random.Random = field(default_factory=random.Random)
    _day: int = 0
    _installed: list[InstalledPackage] | None = None
    _next: Step | None = None
    _seq: int = 0

    def step(self) -> float:
        """Send one or two requests; returns the seconds until the next step. Tries again later if the server fails."""
        step, self._next = self._next or self._check_in, None
        try:
            wanted = None if self.away else step()
        except (Refused, OSError):
            wanted = None
        return self.poll * (0.8 + 0.4 * self.chance.random()) if wanted is None else wanted

    def upgrade(self, day: int) -> None:
        """As after `pacman -Syu`: the machine has the packages of that day, and reports them at its next check-in."""
        self._installed, self._day = self.machine.packages_on(day), day
        self.state = state_text.digest_of(state_text.to_text(self._installed))
        self.repositories = [one.as_json() for one in reported.on(day)]

    def _call(self, path: str, body: object) -> dict[str, Any]:
        return self.api.call(self.token, "POST", path, body)

    def _new_seq(self) -> int:
        self._seq = max(self._seq + 1, int(time.time() * 1000))
        return self._seq

    def _check_in(self) -> float | None:
        said = {
            "seq": self._new_seq(),
            "state": self.state,
            "repositories": self.repositories,
            "holds": self.holds,
            "agent_version": "1.0.0",
            "examination": {"problems": list(self.problems)},
        }
        answer = self._call("/checkin", said)
        if answer["want"]:
            self._upload(answer["want"])
            answer = self._call("/checkin", said)
        operation = answer["operation"]
        if operation is None or operation["status"] != "queued" or self.chance.random() > PROMPT:
            return None
        self._next = lambda: self._claim(operation["id"])
        return self._seconds(1, 10)

    def _upload(self, wanted: list[str]) -> None:
        texts = {str(one.digest): ("repositories", one.text) for one in reported.on(self._day)}
        if self._installed is not None:
            texts[self.state] = ("states", state_text.to_text(self._installed))
        for digest in wanted:
            if digest in texts:
                kind, text = texts[digest]
                self.api.upload(self.token, f"/{kind}/{digest}", text)

    def _claim(self, operation: str) -> float:
        lease = str(uuid.uuid4())
        claim = self._call(f"/operations/{operation}/claim", {"lease_token": lease, "state": self.state})
        brought = [(str(one["name"]), str(one["version"])) for one in claim["fetch"]]
        names = [name for name, _ in brought]
        self._beat(operation, lease, "leased", _progress("downloading", names, self.chance.random()))
        if brought and self.chance.random() < FAILURES:
            self._next = lambda: self._end(operation, lease, self.state, failures.unavailable(brought))
        else:
            self._next = lambda: self._apply(operation, lease, str(claim["target"]["digest"]), names)
        return self._seconds(8, 40)  # the download

    def _beat(self, operation: str, lease: str, phase: str, progress: dict[str, object]) -> None:
        said = {"lease_token": lease, "phase": phase, "progress": progress}
        self._call(f"/operations/{operation}/heartbeat", said)

    def _apply(self, operation: str, lease: str, target: str, names: Sequence[str]) -> float:
        self._beat(operation, lease, "applying", _progress("applying", names, self.chance.random()))
        self._next = lambda: self._end(operation, lease, target)
        return self._seconds(8, 30)  # the run of pacman

    def _end(self, operation: str, lease: str, reached: str, failure: Mapping[str, str] | None = None) -> float | None:
        said = {"outcome": "failed", **failure} if failure else {"outcome": "succeeded"}
        self._call(
            f"/operations/{operation}/result",
            {"lease_token": lease, "seq": self._new_seq(), "state": reached, **said},
        )
        self.state, self._installed = reached, None
        return None

    def _seconds(self, least: float, most: float) -> float:
        return least + (most - least) * self.chance.random()


def _progress(phase: str, names: Sequence[str], part: float) -> dict[str, object]:
    """The progress of an agent that has handled this share (0 to 1) of the packages."""
    done = int(len(names) * part)
    return {"phase": phase, "done": done, "total": len(names), "package": names[done] if done < len(names) else ""}
