"""Whoever speaks to the service during a campaign: it repeats each call until there is a definite answer.

It must not know which fault is going on. A 4xx other than 429 is definite; no answer, 429 and 5xx are not.
"""

import gzip
import http.client
import json
import threading
import time
from typing import Any

from apps.fleet.alpm.canonical import digest_of
from tests.support.texts import repository_text, state_text

REPOSITORY = ("extra 1-1", "linux 1-1", "tool 1-1")
PATIENCE = 120.0  # seconds for one call, all its repeats included


class Stuck(AssertionError):
    """A call had no definite answer within PATIENCE."""


class Client:
    """Calls of the API through the front door at `port`, as whoever has `token`."""

    def __init__(self, port: int, token: str) -> None:
        self.port, self.token = port, token
        self.unanswered = 0

    def once(self, method: str, path: str, data: bytes, **headers: str) -> tuple[int, Any]:
        """One request: (status, body). OSError or HTTPException when there is no answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            authorization = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
            connection.request(method, f"/api/v1{path}", data, authorization | named)
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"null")
        finally:
            connection.close()

    def call(self, method: str, path: str, body: Any = None, *, data: bytes | None = None) -> tuple[int, Any]:
        """The definite answer to a request that may be repeated."""
        sent, headers = (data, {"Content_Encoding": "gzip"}) if data is not None else (json.dumps(body).encode(), {})
        end, last = time.monotonic() + PATIENCE, "nothing"
        while time.monotonic() < end:
            try:
                status, answer = self.once(method, path, sent, **headers)
                if status < 500 and status != 429:
                    return status, answer
                last = f"{status} {answer}"
            except (OSError, http.client.HTTPException, ValueError) as error:
                last = repr(error)
            self.unanswered += 1
            time.sleep(0.2)
        raise Stuck(f"{method} {path}: no definite answer within {PATIENCE:g} s, at last {last}")


class Endpoint(threading.Thread):
    """A simulated machine: checks in, carries out what is queued, and counts how often it did each operation.

    `did` maps an operation to how often it was carried out, `acknowledged` to the status in the server's answer.
    """

    def __init__(self, client: Client, name: str, packages: tuple[str, ...]) -> None:
        super().__init__(daemon=True, name=name)
        self.client, self.ended = client, threading.Event()
        self.did: dict[str, int] = {}
        self.acknowledged: dict[str, str] = {}
        self.failure: str | None = None
        self._text, self._content, self._seq = state_text(*packages), repository_text(*REPOSITORY), 0

    def run(self) -> None:
        try:
            while not self.ended.wait(0.2):
                self.step()
        except Exception as error:
            self.failure = repr(error)

    def step(self) -> None:
        """One check-in, and the operation that it names."""
        operation = self.report()["operation"]
        if operation and operation["status"] == "queued":
            self._carry_out(operation["id"])

    def report(self) -> Any:
        self._seq += 1
        core = {"name": "core", "digest": digest_of(self._content), "mirrors": ["https://mirror.example/core"]}
        body = {"seq": self._seq, "state": digest_of(self._text), "repositories": [core]}
        while True:
            status, answer = self.client.call("POST", "/checkin", body)
            assert status == 200, (status, answer)
            if not answer["want"]:
                return answer
            for text, kind in ((self._text, "states"), (self._content, "repositories")):
                if digest_of(text) in answer["want"]:
                    self.client.call("PUT", f"/{kind}/{digest_of(text)}", data=gzip.compress(text))

    def _carry_out(self, operation: str) -> None:
        lease = f"{int(operation[:8], 16):08x}-0000-4000-8000-{self._seq:012x}"
        claim = {"lease_token": lease, "state": digest_of(self._text)}
        status, answer = self.client.call("POST", f"/operations/{operation}/claim", claim)
        if status != 200:
            return
        phase = {"lease_token": lease, "phase": "applying"}
        if self.client.call("POST", f"/operations/{operation}/heartbeat", phase)[0] != 200:
            return
        self.did[operation] = self.did.get(operation, 0) + 1
        target = answer["target"]
        lines = sorted(f"{one['name']} {one['version']} {one['arch']} {one['reason']}\n" for one in target["packages"])
        self._text = "".join(lines).encode()
        assert digest_of(self._text) == target["digest"]
        self._seq += 1
        result = {"lease_token": lease, "outcome": "succeeded", "seq": self._seq, "state": target["digest"]}
        status, answer = self.client.call("POST", f"/operations/{operation}/result", result)
        if status == 200:
            self.acknowledged[operation] = answer["status"]
