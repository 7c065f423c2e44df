"""Keeps the lease of an operation while the main thread works, and notices its loss. It must not stop anything."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Optional

from .api import ApiError, Client
from .errors import AgentError, LeaseLost, Unavailable
from .running_hook import RunningHook

# How often in a lease: two answers may be lost.
PER_LEASE = 3


class Heartbeat:
    """`with Heartbeat(…) as heartbeat`: beats in a thread; `lost` is set when the server says so, or can't be reached
    until the lease has run out.

    It beats three times in a lease, and once in a poll interval (`poll` seconds, 0: not known), since a machine that is
    silent for three of those counts as offline. One that begins as `applying` beats at once.
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
        self.lost = threading.Event()
        self._pause = min(lease_seconds / PER_LEASE, poll or lease_seconds)
        self._until = time.monotonic() + lease_seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def check(self) -> None:
        """Raise LeaseLost if it is. Never called while pacman runs."""
        if self.lost.is_set() or time.monotonic() > self._until:
            raise LeaseLost

    def say_applying(self) -> None:
        """Tell the server that pacman is about to start. Raises LeaseLost, Unavailable (then pacman mustn't start)."""
        self.check()
        self.phase = "applying"
        try:
            self._beat(patience=max(1.0, self._until - time.monotonic()) / 2)
        except ApiError as error:
            raise LeaseLost from error

    def _beat(self, patience: float) -> None:
        began = time.monotonic()
        body: dict[str, Any] = {"lease_token": self.token, "phase": self.phase}
        hook = self.hook()
        if hook:
            body["hook"] = {key: _one_line(value) for key, value in asdict(hook).items()}
        try:
            self.client.post(f"/operations/{self.operation}/heartbeat", body, patience=patience)
        except ApiError as error:
            if "hook" not in body or not error.unknown:
                raise
            self.hook = lambda: None  # an older server
            del body["hook"]
            self.client.post(f"/operations/{self.operation}/heartbeat", body, patience=patience)
        self._until = began + self.lease_seconds

    def _loop(self) -> None:
        pause = 0.0 if self.phase == "applying" else self._pause
        while not self._ended.wait(pause):
            pause = self._pause
            try:
                self._beat(patience=self.lease_seconds / PER_LEASE / 2)
            except Unavailable:
                if time.monotonic() > self._until:
                    self.lost.set()
            except (ApiError, AgentError):
                self.lost.set()
                return


def _one_line(text: str) -> str:
    """As the server takes it: no control characters, 500 characters at most."""
    return "".join(char if char.isprintable() else "?" for char in text)[:500]
