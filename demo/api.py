"""A client of the server's API, with one kept-alive connection for each thread. It must not know its callers."""

import gzip
import http.client
import json
import threading
from typing import Any

TIMEOUT = 30.0


class Refused(Exception):
    """The server answered with an error; `code` is the stable code of the problem."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"{status} {code}")
        self.code = code


class Api:
    """The API of the server on this port of localhost."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._local = threading.local()

    def call(self, token: str, method: str, path: str, body: object = None) -> dict[str, Any]:
        """The response, parsed from JSON. Raises Refused, OSError."""
        content = None if body is None else json.dumps(body).encode()
        return self._send(token, method, path, content, {"Content-Type": "application/json"})

    def upload(self, token: str, path: str, text: bytes) -> None:
        """PUT a canonical text. Raises Refused, OSError."""
        headers = {"Content-Encoding": "gzip", "Content-Type": "text/plain"}
        self._send(token, "PUT", path, gzip.compress(text), headers)

    def _send(
        self, token: str, method: str, path: str, content: bytes | None, headers: dict[str, str]
    ) -> dict[str, Any]:
        connection = getattr(self._local, "connection", None) or http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=TIMEOUT
        )
        self._local.connection = None
        try:
            connection.request(method, f"/api/v1{path}", content, headers | {"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            text = answer.read()
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        self._local.connection = connection
        found: dict[str, Any] = json.loads(text) if text else {}
        if answer.status >= 400:
            raise Refused(answer.status, str(found.get("code", "")))
        return found
