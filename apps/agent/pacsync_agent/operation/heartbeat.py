"""Keeps the lease of an operation while the main thread works, and notices its loss. It must not stop anything."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Optional

from ..errors import AgentError, LeaseLost, Unavailable
from ..pacman.running_hook import RunningHook
from ..server.client import ApiError, Client
from ..terminal.operation_progress import OperationProgress
from ..terminal.printable import printable

# Beats in a lease: two answers may be lost.
PER_LEASE = 3
# Seconds after the last beat before a new phase, or new numbers, are sent; seconds between two checks for that.
PHASE_AFTER, NUMBERS_AFTER, LOOK = 2.0, 15.0, 1.0
# Codes of errors for answers that somebody else may have given: a proxy, or the login page of a network. The server
# is asked again then, as if nobody had answered.
SOMEBODY_ELSE = ("server_unexpected", "server_redirects")


class Heartbeat:
    """`with Heartbeat(…) as heartbeat`: beats in a thread; `lost` is set when the server says so, or can't be reached
    until the lease has run out.

    It beats three times in a lease and at least once in a poll interval (`poll` seconds, 0 if unknown), because a
    machine that is silent for three intervals counts as offline. A heartbeat that begins as `applying` beats at once.
    New `progress` is sent earlier. A server that refuses `hook` or `progress` gets the beats without them.
    """

    def __init__(
        self,
        client: Client,
        operation: str,
        token: str,
        lease_seconds: float,
        *,
        phase: str = "leased",
        poll: float = 0,
    ) -> None:
        self.client = client
        self.operation = operation
        self.token = token
        self.lease_seconds = lease_seconds
        self.phase = phase
        self.hook: Callable[[], Optional[RunningHook]] = lambda: None
        self.progress: Callable[[], Optional[OperationProgress]] = lambda: None
        self.lost = threading.Event()
        self._pause = min(lease_seconds / PER_LEASE, poll or lease_seconds)
        self.lease_until = time.monotonic() + lease_seconds
        self.last_beat = time.monotonic()
        self._sent: Optional[OperationProgress] = None
        self._refused: set[str] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def check(self) -> None:
        """Raise LeaseLost if it is. Never called while pacman runs."""
        if self.lost.is_set() or time.monotonic() > self.lease_until:
            raise LeaseLost

    def say_applying(self) -> None:
        """Report that pacman is about to start. Raises LeaseLost, Unavailable (then pacman mustn't start)."""
        self.check()
        self.phase = "applying"
        patience = max(1.0, self.lease_until - time.monotonic()) / 2
        deadline = time.monotonic() + patience
        while True:
            try:
                return self.beat(patience=patience)
            except ApiError as error:
                raise LeaseLost from error
            except AgentError as error:
                if error.code not in SOMEBODY_ELSE:
                    raise
                if time.monotonic() + LOOK > deadline:
                    raise Unavailable(error.code, error.message, error.hint) from None
            time.sleep(LOOK)

    def beat(self, patience: float) -> None:
        """Renew the lease, within `patience` seconds. Raises ApiError, AgentError."""
        began = self.last_beat = time.monotonic()
        body: dict[str, Any] = {"lease_token": self.token, "phase": self.phase}
        extras = self._extras()
        path = f"/operations/{self.operation}/heartbeat"
        try:
            self.client.post(path, {**body, **extras}, patience=patience)
        except ApiError as error:
            if not extras or error.code != "invalid_request" or not set(error.unknown) <= extras.keys():
                raise
            self._refused.update(error.unknown or extras)  # an older server, or one that has other bounds
            self.client.post(path, {**body, **self._extras()}, patience=patience)
        self.lease_until = began + self.lease_seconds

    def _extras(self) -> dict[str, Any]:
        """The optional fields that the server isn't known to refuse."""
        hook, self._sent = self.hook(), self.progress()
        extras: dict[str, Any] = {}
        if hook:
            extras["hook"] = {key: printable(value, 500) for key, value in asdict(hook).items()}
        if self._sent:
            extras["progress"] = self._sent.as_json()
        return {key: value for key, value in extras.items() if key not in self._refused}

    def is_due(self) -> bool:
        """Whether the lease needs a beat, or there is something new to send."""
        since, now = time.monotonic() - self.last_beat, self.progress()
        if since >= self._pause:
            return True
        if now is None or now == self._sent or "progress" in self._refused:
            return False
        return since >= (PHASE_AFTER if self._sent is None or now.phase != self._sent.phase else NUMBERS_AFTER)

    def _loop(self) -> None:
        pause = 0.0 if self.phase == "applying" else min(self._pause, LOOK)
        at_once = self.phase == "applying"
        while not self._ended.wait(pause):
            pause = min(self._pause, LOOK)
            if not (at_once or self.is_due()):
                continue
            at_once = False
            try:
                self.beat(patience=self.lease_seconds / PER_LEASE / 2)
            except ApiError:
                self.lost.set()
                return
            except AgentError as error:
                at_once = error.code in SOMEBODY_ELSE
                if not (at_once or isinstance(error, Unavailable)):
                    self.lost.set()
                    return
                if time.monotonic() > self.lease_until:
                    self.lost.set()
