"""Agents in one process: each speaks the agent's protocol over connections of its own, at its own times.

They keep the rules of the real one (apps/agent/pacsync_agent/cli/commands/run.py): jitter, the server's poll interval,
pauses that double after a failure, Retry-After. They install nothing: an operation is claimed and reported as done.
It must not know scenarios.
"""

import asyncio
import json
import random
import time
import uuid
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from tests.simulate.fleet import report

TIMEOUT = 30.0
LONGEST_PAUSE = 900.0
Answer = tuple[int, Any, float]  # the status (0: no complete answer), the JSON, the seconds of Retry-After


@dataclass
class Figures:
    """What came of the requests since the last `take`: seconds of each kind of them, and agents' answers by name."""

    seconds: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    answers: Counter[str] = field(default_factory=Counter)
    operations: int = 0

    def take(self) -> "Figures":
        taken = Figures(self.seconds, self.answers, self.operations)
        self.seconds, self.answers, self.operations = defaultdict(list), Counter(), 0
        return taken


@dataclass(eq=False)
class Simulation:
    """Where the agents ask, and how fast their clock runs. `running` is cleared while they have no power."""

    port: int
    repositories: list[dict[str, Any]]
    states: list[str]
    poll: float
    speed: float
    chance: random.Random
    open_at_once: int = 500
    figures: Figures = field(default_factory=Figures)
    running: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.running.set()
        self._places = asyncio.Semaphore(self.open_at_once)

    async def sleep(self, seconds: float) -> None:
        """Seconds of the agents' clock."""
        await asyncio.sleep(seconds / self.speed)

    async def ask(self, token: str, method: str, path: str, body: object) -> Answer:
        """One request of an agent on a new connection; counted. At most `open_at_once` are open at once."""
        async with self._places:
            found = await self._timed(path, token, method, f"/api/v1{path}", body)
        status, answer, _ = found
        code = answer.get("code", "") if isinstance(answer, dict) and status >= 400 else ""
        self.figures.answers[f"{status or 'none'} {code}".strip()] += 1
        return found

    async def watch(self, kind: str, token: str, path: str, pause: float) -> None:
        """Ask `path` again and again, `pause` seconds of the real clock after each answer. Failures are counted."""
        while True:
            status, _, _ = await self._timed(kind, token, "GET", path, None)
            if status != 200:
                self.figures.answers[f"{kind}: {status or 'none'}"] += 1
            await asyncio.sleep(pause)

    async def _timed(self, kind: str, token: str, method: str, path: str, body: object) -> Answer:
        began = time.perf_counter()
        try:
            return await asyncio.wait_for(self._exchange(token, method, path, body), TIMEOUT)
        except (OSError, ValueError, asyncio.IncompleteReadError, TimeoutError):
            return 0, None, 0.0
        finally:
            self.figures.seconds[kind].append(time.perf_counter() - began)

    async def _exchange(self, token: str, method: str, path: str, body: object) -> Answer:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            data = b"" if body is None else json.dumps(body).encode()
            head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
            head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode() + data)
            line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in lines)}
            text = await reader.readexactly(int(headers.get("content-length", "0")))
            after = headers.get("retry-after", "")
            return int(line.split()[1]), json.loads(text or b"null"), float(after) if after.isdigit() else 0.0
        finally:
            writer.close()


@dataclass(eq=False)
class Agent:
    """One machine. `broken`: its operations fail, and it breaks off some of its requests."""

    simulation: Simulation
    about: dict[str, str]
    broken: bool = False
    seq: int = 1

    async def live(self, begin: float) -> None:
        """Check in for ever, first after `begin` seconds."""
        world, failures, poll = self.simulation, 0, self.simulation.poll
        await world.sleep(begin)
        while True:
            await world.running.wait()
            answer = await self.check_in()
            status, said, after = answer
            if status == 200:
                failures, poll = 0, float(said["poll_seconds"])
                if said["operation"] and said["operation"]["status"] == "queued":
                    await self.carry_out(said["operation"])
            else:
                failures += 1
            pause = min(poll * 2.0 ** min(failures, 3), LONGEST_PAUSE) if failures else poll
            await world.sleep(max(pause * world.chance.uniform(0.9, 1.1), after))

    async def check_in(self) -> Answer:
        self.seq += 1
        world = self.simulation
        if self.broken and world.chance.random() < 0.1:
            return await world.ask(self.about["token"], "POST", "/checkin", {"seq": "not a number"})
        return await world.ask(
            self.about["token"], "POST", "/checkin", report(self.about, world.repositories, self.seq)
        )

    async def carry_out(self, operation: dict[str, Any]) -> None:
        world, path = self.simulation, f"/operations/{operation['id']}"
        lease = str(uuid.UUID(int=world.chance.getrandbits(128), version=4))
        claim = {"lease_token": lease, "state": self.about["state"]}
        status, _, _ = await world.ask(self.about["token"], "POST", f"{path}/claim", claim)
        if status != 200:
            return
        await world.ask(self.about["token"], "POST", f"{path}/heartbeat", {"lease_token": lease, "phase": "applying"})
        await world.sleep(world.chance.uniform(1, 5))
        self.seq += 1
        goal = self.about["state"] if self.broken else operation["target_state"]
        said = {
            "lease_token": lease,
            "outcome": "failed" if self.broken else "succeeded",
            "seq": self.seq,
            "state": goal,
        }
        status, _, _ = await world.ask(self.about["token"], "POST", f"{path}/result", said)
        if status == 200:
            self.about["state"] = goal
            world.figures.operations += 1
