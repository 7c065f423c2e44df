"""Calls of the API of a running server, from any number of threads. It must not know what is asked."""

import http.client
import json
import threading
import time
from dataclasses import dataclass
from typing import Any


@dataclass
class Reply:
    """`status` 0: no answer came within the time limit. `began`, `ended` are of time.monotonic()."""

    status: int
    body: Any
    began: float
    ended: float

    @property
    def code(self) -> str:
        return str(self.body.get("code", "")) if isinstance(self.body, dict) else ""


def call(port: int, token: str, method: str, path: str, body: object = None, *, timeout: float = 60) -> Reply:
    """One request below /api/v1 on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    began = time.monotonic()
    try:
        connection.request(method, f"/api/v1{path}", json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        content = answer.read()
        return Reply(answer.status, json.loads(content) if content else {}, began, time.monotonic())
    except (OSError, http.client.HTTPException):
        return Reply(0, {}, began, time.monotonic())
    finally:
        connection.close()


class Calls:
    """Several calls at the same time; `replies` as they come, in no order."""

    def __init__(self, port: int, token: str, method: str, paths_and_bodies: list[tuple[str, object]]) -> None:
        self.replies: list[Reply] = []
        self._threads = [
            threading.Thread(target=self._one, args=(port, token, method, path, body), daemon=True)
            for path, body in paths_and_bodies
        ]
        for thread in self._threads:
            thread.start()

    def _one(self, *arguments: Any) -> None:
        self.replies.append(call(*arguments))

    def wait(self, seconds: float = 60) -> list[Reply]:
        for thread in self._threads:
            thread.join(seconds)
        return self.replies
