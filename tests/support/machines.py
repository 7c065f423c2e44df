"""Machines that queue, claim and finish operations by the API without a pause, and write down what was acknowledged.

Each repeats a request until it is answered, as the agent does, with the same key and the same lease token. It must not
know what happens to the server meanwhile.
"""

import gzip
import http.client
import json
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from apps.fleet.alpm.canonical import digest_of

GOAL, BASE = ("linux 2-1",), ("linux 1-1",)
STATES = {texts: "".join(f"{text} x86_64 explicit\n" for text in texts).encode() for texts in (GOAL, BASE)}
AGAIN = 0.1  # seconds before a request is repeated


def repository(packages: tuple[str, ...]) -> bytes:
    """The canonical text of a repository that offers these."""
    lines = [f"{text} x86_64 {text.replace(' ', '-')}-x86_64.pkg.tar.zst {'a' * 64} 1000\n" for text in packages]
    return "".join(lines).encode()


class Stopped(Exception):
    """The load has ended in the middle of a request."""


@dataclass
class Acknowledged:
    """What one operation's requests were answered with."""

    key: str
    id: str = ""
    lease_token: str = ""
    claimed: bool = False
    rivals: int = 0
    """How often another lease token was let in while this one had the lease."""
    finished: bool = False


@dataclass(eq=False)
class LoadMachine:
    """One endpoint. `done` is what was acknowledged to it; `answers` counts statuses; `written` are times of writes."""

    port: int
    name: str
    token: str
    stop: threading.Event
    timeout: float = 15
    seq: int = 0
    done: list[Acknowledged] = field(default_factory=list)
    answers: Counter[object] = field(default_factory=Counter)
    written: list[float] = field(default_factory=list)
    slowest: float = 0.0
    problems: list[str] = field(default_factory=list)

    def once(self, method: str, path: str, body: object = None, data: bytes | None = None) -> tuple[int, Any]:
        """One request; (0, None) when no complete answer came."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        if data is not None:
            headers["Content-Encoding"] = "gzip"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout)
        began = time.monotonic()
        try:
            connection.request(method, f"/api/v1{path}", data if data is not None else json.dumps(body), headers)
            response = connection.getresponse()
            status, answer = response.status, json.loads(response.read() or b"null")
        except (OSError, http.client.HTTPException, ValueError):
            status, answer = 0, None
        finally:
            connection.close()
        self.slowest = max(self.slowest, time.monotonic() - began)
        self.answers[(status, answer.get("code", "")) if status >= 400 else status] += 1
        return status, answer

    def repeat(self, method: str, path: str, body: object = None, data: bytes | None = None) -> tuple[int, Any]:
        """The first answer that is neither missing nor a 5xx."""
        while True:
            status, answer = self.once(method, path, body, data)
            if 0 < status < 500:
                if status < 300 and method != "GET":
                    self.written.append(time.monotonic())
                return status, answer
            if status in (500, 502):
                self.problems.append(f"{method} {path}: {status} {answer}")
            if self.stop.wait(AGAIN):
                raise Stopped

    def report(self, packages: tuple[str, ...]) -> str:
        """Check in with these packages; the digest of the state."""
        state, content = STATES[packages], repository(packages)
        self.seq += 1
        repositories = [{"name": "core", "digest": digest_of(content), "mirrors": ["https://mirror.example/core"]}]
        body = {"seq": self.seq, "state": digest_of(state), "repositories": repositories}
        _, answer = self.repeat("POST", "/checkin", body)
        if answer and answer.get("want"):
            for kind, text in (("states", state), ("repositories", content)):
                self.repeat("PUT", f"/{kind}/{digest_of(text)}", data=gzip.compress(text))
            self.repeat("POST", "/checkin", body)
        return digest_of(state)

    def run(self) -> None:
        try:
            while not self.stop.is_set():
                self.cycle()
        except Stopped:
            pass
        except Exception as error:  # the edge of the thread: the test reads it
            self.problems.append(f"{type(error).__name__}: {error}")

    def cycle(self) -> None:
        """One operation from its creation to its result; then the machine drifts back."""
        base = self.report(BASE)
        record = Acknowledged(key=uuid.uuid4().hex, lease_token=str(uuid.uuid4()))
        self.done.append(record)
        status, answer = self.repeat("POST", "/operations", {"kind": "sync", "idempotency_key": record.key})
        if status not in (200, 201):
            self.problems.append(f"queue: {status} {answer}")
            return
        record.id = answer["id"]
        path = f"/operations/{record.id}"
        status, answer = self.repeat("POST", f"{path}/claim", {"lease_token": record.lease_token, "state": base})
        if status != 200:
            self.problems.append(f"claim: {status} {answer}")
            return
        record.claimed = True
        rival, _ = self.once("POST", f"{path}/claim", {"lease_token": str(uuid.uuid4()), "state": base})
        record.rivals += rival == 200
        self.repeat("POST", f"{path}/heartbeat", {"lease_token": record.lease_token, "phase": "applying"})
        self.seq += 1
        result = {"lease_token": record.lease_token, "outcome": "succeeded", "seq": self.seq}
        status, answer = self.repeat("POST", f"{path}/result", result | {"state": digest_of(STATES[GOAL])})
        if status != 200 or answer["status"] != "succeeded":
            self.problems.append(f"result: {status} {answer}")
            return
        record.finished = True


def enrol(port: int, operator: str, count: int) -> tuple[list[LoadMachine], threading.Event]:
    """`count` machines in a pool whose target is GOAL, ready to run; the event stops them."""
    stop = threading.Event()
    admin = LoadMachine(port, "admin", operator, stop)
    admin.repeat("POST", "/pools", {"name": "lab"})
    machines = []
    for number in range(count):
        _, made = admin.repeat("POST", "/enrolment-codes", {"pool": "lab"})
        name = f"m{number}"
        _, enrolled = admin.repeat("POST", "/enroll", {"code": made["code"], "name": name, "arch": "x86_64"})
        machines.append(LoadMachine(port, name, enrolled["token"], stop))
    machines[0].report(GOAL)
    status, answer = admin.repeat("POST", "/pools/lab/targets", {"endpoint": "m0"})
    assert status == 201, answer
    return machines, stop


class Running:
    """The machines at work between `with` and its end."""

    def __init__(self, machines: list[LoadMachine], stop: threading.Event) -> None:
        self.machines, self.stop = machines, stop
        self._threads = [threading.Thread(target=machine.run, daemon=True) for machine in machines]

    def __enter__(self) -> "Running":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join(40)

    def last_write(self) -> float:
        """The monotonic time of the newest write that was acknowledged."""
        return max((machine.written[-1] for machine in self.machines if machine.written), default=0.0)

    def first_write_after(self, moment: float) -> float | None:
        """The time of the first acknowledged write after that moment; None: there is none."""
        times = [time for machine in self.machines for time in list(machine.written) if time > moment]
        return min(times, default=None)
