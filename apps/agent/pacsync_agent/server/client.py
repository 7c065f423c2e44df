"""Speaks HTTP to the server: one request, repeated until it is answered. It must not know what the requests mean.

Every request of the protocol may be repeated (docs/protocol.md). The token is sent only to the server's own address:
redirects are not followed, and the only proxy is that of the agent's own configuration.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import random
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any, Optional

from .. import __version__
from ..errors import AgentError, Failed, Local, NotAuthorized, Refused, Unavailable
from ..http import bounded_http, retry_after
from ..http.proxies import Proxy
from ..http.transfer_limits import Guard
from ..terminal.printable import printable
from . import response_fields

API = "/api/v1"
ANSWER_LIMIT = 64 << 20  # bytes
RETRIED = {408, 425, 429}  # and 5xx: every request of the protocol may be repeated
TOO_MANY = 429
EXTRA = "Extra inputs are not permitted"  # a PacSync server's message for an unknown field
SENTENCE = 2000  # characters of a server's message
HEAD = 60.0  # seconds until an answer begins: a large upload may come first
TOTAL = 300.0  # seconds for a whole request, the largest answer included
RATE = 256.0  # bytes a second of an answer, once it has begun
HINTS = {"no_pool": "Assign it to one on the server."}  # by the server's code, where it has no hint of its own
LONGEST_WAIT = 3600.0  # seconds that a server may make this machine wait


class ApiError(Exception):
    """The server refused: HTTP `status`, stable `code`, and a sentence."""

    def __init__(self, status: int, code: str, detail: str, unknown: Sequence[str] = ()) -> None:
        """`unknown`: the fields of the request that the server says it doesn't know."""
        super().__init__(detail)
        self.unknown = tuple(unknown)
        self.status = status
        self.code = code
        self.detail = detail

    def as_agent_error(self, name: str) -> AgentError:
        """The error for a person. `name`: this machine's name on the server."""
        if self.status == 401:
            hint = (
                f"An operator can make a code with which this machine enrols as {name} again, on {name}'s page (Enrol "
                f"again). Then run `pacsync-agent enroll --force --name {name} …` with it. If the endpoint was "
                "deleted, any new code does."
            )
            said = (
                "The server doesn't know this machine's token: it was revoked or replaced, or the endpoint was deleted."
            )
            return NotAuthorized(self.code, said, hint)
        if self.unknown:
            return Refused(
                "server_older",
                f"The server is older than this agent ({__version__}): it doesn't know {', '.join(self.unknown)}.",
                "Take the agent from the server (its page *Enrol* has the command), or upgrade the server.",
            )
        kind = NotAuthorized if self.status == 403 else Refused if self.status < 500 else Failed
        return kind(self.code, self.detail, HINTS.get(self.code, ""))


def normalized(server: str) -> str:
    """The server's base URL without a trailing slash. Raises Local when it isn't an http(s) URL."""
    try:
        parts = urllib.parse.urlsplit(server.strip())
    except ValueError:  # brackets that hold no IPv6 address
        parts = urllib.parse.urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise Local(
            "server_invalid",
            f"{server!r} is not the address of a server.",
            "Give it as http://HOST:PORT or https://HOST.",
        )
    return server.strip().rstrip("/")


class Client:
    """`patience`: seconds for which a request without an answer is repeated. `proxy`: None for a direct connection."""

    def __init__(
        self,
        server: str,
        token: Optional[str] = None,
        *,
        patience: float = 30,
        timeout: float = 15,
        stop: Optional[threading.Event] = None,
        proxy: Optional[Proxy] = None,
    ) -> None:
        self.server = normalized(server)
        self.token = token
        self.patience = patience
        self.timeout = timeout
        self.stop = stop or threading.Event()
        self.proxy = proxy
        self.waits_for_name = False
        """Whether an unknown host name is tried again: a service may start before the network is up."""
        self.kept_tokens: Callable[[], Sequence[str]] = list
        """The tokens that this machine has now, asked for where the server doesn't know the one in use."""
        self._answered = False

    def get(self, path: str) -> dict[str, Any]:
        return self.request("GET", path)

    def post(self, path: str, body: dict[str, Any], *, patience: Optional[float] = None) -> dict[str, Any]:
        return self.request("POST", path, json.dumps(body).encode(), "application/json", patience=patience)

    def put(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self.request("PUT", path, json.dumps(body).encode(), "application/json")

    def with_token(self, token: str) -> Client:
        """A client for the same server that has this token, and no other."""
        return Client(
            self.server, token, patience=self.patience, timeout=self.timeout, stop=self.stop, proxy=self.proxy
        )

    def put_text(self, path: str, text: bytes) -> None:
        """Upload one of the canonical texts, compressed."""
        self.request("PUT", path, gzip.compress(text, mtime=0), "text/plain; charset=utf-8", encoding="gzip")

    def request(
        self,
        method: str,
        path: str,
        body: Optional[bytes] = None,
        kind: str = "",
        *,
        encoding: str = "",
        patience: Optional[float] = None,
    ) -> dict[str, Any]:
        """The answer's JSON object. Raises ApiError (the server refuses), Unavailable (it doesn't answer in time)."""
        refused: list[Optional[str]] = []
        while True:
            try:
                return self._patiently(method, path, body, kind, encoding=encoding, patience=patience)
            except ApiError as error:
                refused.append(self.token)
                others = [token for token in self.kept_tokens() if token not in refused] if error.status == 401 else []
                if not others:
                    raise
                self.token = others[0]

    def _patiently(
        self, method: str, path: str, body: Optional[bytes], kind: str, *, encoding: str, patience: Optional[float]
    ) -> dict[str, Any]:
        deadline = time.monotonic() + (self.patience if patience is None else patience)
        attempt = 0
        while True:
            try:
                return self._once(method, path, body, kind, encoding)
            except _Again as again:
                delay = max(again.after, random.uniform(0.5, 1) * min(8.0, 0.25 * 2**attempt))  # noqa: S311 - jitter
                attempt += 1
                hopeless = again.no_name and not (self.waits_for_name or self._answered)
                if hopeless or time.monotonic() + delay > deadline or self.stop.wait(delay):
                    raise again.as_agent_error(self.server, self.proxy) from None

    def _once(self, method: str, path: str, body: Optional[bytes], kind: str, encoding: str) -> dict[str, Any]:
        request = urllib.request.Request(self.server + API + path, data=body, method=method)  # noqa: S310 - normalized()
        request.add_header("Accept", "application/json")
        request.add_header("User-Agent", f"pacsync-agent/{__version__}")
        if kind:
            request.add_header("Content-Type", kind)
        if encoding:
            request.add_header("Content-Encoding", encoding)
        if self.token:
            request.add_unredirected_header("Authorization", f"Bearer {self.token}")
        with Guard(head=HEAD, total=TOTAL, rate=RATE) as guard:
            try:
                answer = bounded_http.send(request, guard, choose=lambda url: self.proxy, timeout=self.timeout)
                guard.begin_body()
                with contextlib.closing(answer):
                    content = answer.read(ANSWER_LIMIT + 1)
            except bounded_http.ERRORS as error:
                raise _Again(
                    bounded_http.reason_of(error, guard),
                    connected=guard.connected,
                    no_name=bounded_http.is_no_name(error),
                ) from None
            self._answered = True
            if guard.reason:
                raise _Again(guard.reason)
            if answer.length and len(content) <= ANSWER_LIMIT:
                raise _Again("the connection broke off")
        if answer.status >= 300:
            raise self._refusal(answer, content)
        value = self._object(content)
        problem = response_fields.problem(method, path, value)
        if problem:
            raise _not_pacsync(self.server, problem)
        return value

    def _refusal(self, answer: http.client.HTTPResponse, content: bytes) -> Exception:
        status, reason = answer.status, printable(answer.reason, SENTENCE)
        if status in RETRIED or status >= 500:
            seconds = retry_after.seconds(answer.headers.get("Retry-After", ""), most=LONGEST_WAIT)
            if status == TOO_MANY:
                return _Again(self._detail(status, reason, content), seconds, too_many=True)
            return _Again(f"it answers {status} {reason}", min(30.0, seconds))
        if status < 400:
            target = printable(answer.headers.get("Location", "another address"), SENTENCE)
            return Local(
                "server_redirects",
                f"The server {self.server} redirects to {target}, and the token is sent to nobody else.",
                "If that is the server's own new address, put it into credentials.json (or enrol with it). "
                "A login page of the network redirects, too: then log in there.",
            )
        try:
            problem = self._object(content)
        except AgentError:
            problem = {}
        if "code" not in problem:
            return _not_pacsync(self.server, f"it answers {status} {reason} without a reason")
        return ApiError(status, str(problem["code"])[:SENTENCE], _sentence(problem), _unknown(problem))

    def _detail(self, status: int, reason: str, content: bytes) -> str:
        """The server's, or a proxy's, reason for a refusal, in a sentence."""
        try:
            return _sentence(self._object(content)) or reason
        except AgentError:
            return f"It answers {status} {reason}."

    def _object(self, content: bytes) -> dict[str, Any]:
        try:
            value = response_fields.printable_answer(json.loads(content))
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise _not_pacsync(self.server, "its answer is not a JSON object")
        return value


def _not_pacsync(server: str, reason: str) -> Failed:
    return Failed(
        "server_unexpected",
        f"{server} doesn't behave like a PacSync server: {reason}.",
        "Check the address of the server.",
    )


class _Again(Exception):
    """No answer yet: `reason`, and after how many seconds the server wants to be asked again.

    `too_many`: the server answers, and its `reason` is that this machine or its network asked too often.
    `connected`: there was a connection (to the proxy, where there is one); a later failure may be the server's or the
    proxy's. `no_name`: the name service knows no such host.
    """

    def __init__(
        self,
        reason: str,
        after: float = 0,
        *,
        too_many: bool = False,
        connected: bool = True,
        no_name: bool = False,
    ) -> None:
        super().__init__(reason)
        self.no_name = no_name
        self.reason = reason
        self.after = after
        self.too_many = too_many
        self.connected = connected

    def as_agent_error(self, server: str, proxy: Optional[Proxy]) -> Unavailable:
        """The error for a person, once the patience is used up."""
        if self.too_many:
            hint = f"Nothing is lost; the same command may be repeated in {max(1, round(self.after))} s."
            return Unavailable("too_many_requests", self.reason, hint, after=self.after)
        silent, check = f"The server {server} doesn't answer", "the address"
        if proxy and self.connected:
            silent += f" through the proxy {proxy.url}"
        elif proxy:
            silent, check = f"The proxy {proxy.url} doesn't answer", "`proxy` in the agent's configuration"
        hint = f"Check {check} and the network; nothing is lost, and the same command may be repeated."
        return Unavailable("server_unavailable", f"{silent}: {self.reason}.", hint)


def _unknown(problem: dict[str, Any]) -> list[str]:
    """The fields that the server doesn't know, because it speaks an older protocol than this agent."""
    errors = problem.get("errors")
    fields = [one for one in errors if isinstance(one, dict)] if isinstance(errors, list) else []
    named = [one.get("loc") for one in fields if EXTRA in str(one.get("message"))]
    return [str(loc[-1])[:SENTENCE] for loc in named[:5] if isinstance(loc, list) and loc]


def _sentence(problem: dict[str, Any]) -> str:
    """The text of a problem, with the fields that it names (RFC 9457, and `errors` of docs/api.md)."""
    said = str(problem.get("detail") or problem.get("title") or "")
    errors = problem.get("errors")
    fields = [one for one in errors if isinstance(one, dict)] if isinstance(errors, list) else []
    named = [f"{'.'.join(map(str, one.get('loc') or ()))}: {one.get('message')}" for one in fields[:5]]
    return " ".join((said, *(f"({text})" for text in named)))[:SENTENCE]
