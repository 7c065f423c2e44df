"""Keeps the lease of an operation while the main thread works, and notices its loss. It must not stop anything."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Optional

from .api import ApiError, Client
from .errors import AgentError, LeaseLost, Unavailable
from .how_far import HowFar, one_line
from .running_hook import RunningHook

# How often in a lease: two answers may be lost.
PER_LEASE = 3
# Seconds since the last beat after which a new phase, or new numbers, are told; how often that is looked at.
PHASE_AFTER, NUMBERS_AFTER, LOOK = 2.0, 15.0, 1.0
# Codes of errors for answers that somebody else may have given: a proxy, or the login page of a network. The server
# is asked again then, as if nobody had answered.
SOMEBODY_ELSE = ("server_unexpected", "server_redirects")


class Heartbeat:
    """`with Heartbeat(…) as heartbeat`: beats in a thread; `lost` is set when the server says so, or can't be reached
    until the lease has run out.

    It beats three times in a lease, and once in a poll interval (`poll` seconds, 0: not known), since a machine that is
    silent for three of those counts as offline. One that begins as `applying` beats at once. Where there is something
    new to tell of how far it is (`progress`), it beats earlier. A server that doesn't take `hook` or `progress` gets
    the beats without.
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
        self.progress: Callable[[], Optional[HowFar]] = lambda: None
        self.lost = threading.Event()
        self._pause = min(lease_seconds / PER_LEASE, poll or lease_seconds)
        self._until = time.monotonic() + lease_seconds
        self._beaten = time.monotonic()
        self._told: Optional[HowFar] = None
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
        if self.lost.is_set() or time.monotonic() > self._until:
            raise LeaseLost

    def say_applying(self) -> None:
        """Tell the server that pacman is about to start. Raises LeaseLost, Unavailable (then pacman mustn't start)."""
        self.check()
        self.phase = "applying"
        patience = max(1.0, self._until - time.monotonic()) / 2
        deadline = time.monotonic() + patience
        while True:
            try:
                return self._beat(patience=patience)
            except ApiError as error:
                raise LeaseLost from error
            except AgentError as error:
                if error.code not in SOMEBODY_ELSE:
                    raise
                if time.monotonic() + LOOK > deadline:
                    raise Unavailable(error.code, error.message, error.hint) from None
            time.sleep(LOOK)

    def _beat(self, patience: float) -> None:
        began = self._beaten = time.monotonic()
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
        self._until = began + self.lease_seconds

    def _extras(self) -> dict[str, Any]:
        """What may be said beside the phase, and isn't known to be refused."""
        hook, self._told = self.hook(), self.progress()
        extras: dict[str, Any] = {}
        if hook:
            extras["hook"] = {key: one_line(value, 500) for key, value in asdict(hook).items()}
        if self._told:
            extras["progress"] = self._told.as_json()
        return {key: value for key, value in extras.items() if key not in self._refused}

    def _is_due(self) -> bool:
        """Whether the lease wants a beat, or there is something new to tell."""
        since, now = time.monotonic() - self._beaten, self.progress()
        if since >= self._pause:
            return True
        if now is None or now == self._told or "progress" in self._refused:
            return False
        return since >= (PHASE_AFTER if self._told is None or now.phase != self._told.phase else NUMBERS_AFTER)

    def _loop(self) -> None:
        pause = 0.0 if self.phase == "applying" else min(self._pause, LOOK)
        at_once = self.phase == "applying"
        while not self._ended.wait(pause):
            pause = min(self._pause, LOOK)
            if not (at_once or self._is_due()):
                continue
            at_once = False
            try:
                self._beat(patience=self.lease_seconds / PER_LEASE / 2)
            except ApiError:
                self.lost.set()
                return
            except AgentError as error:
                at_once = error.code in SOMEBODY_ELSE
                if not (at_once or isinstance(error, Unavailable)):
                    self.lost.set()
                    return
                if time.monotonic() > self._until:
                    self.lost.set()
