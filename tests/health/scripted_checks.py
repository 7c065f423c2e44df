"""Checks that do what a test tells them: raise, hang or count. They must not know what a checker makes of it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from health_check import HealthCheck

from apps.health.checks.registered import Impact, RegisteredCheck


@dataclass
class Script(HealthCheck):  # type: ignore[misc]
    """A check that does what the test tells it: `action` is called at each run."""

    action: Callable[[], None] = field(default=lambda: None, repr=False)
    timeout: timedelta = field(default=timedelta(seconds=0.1), repr=False)
    runs: int = field(default=0, repr=False)

    def run(self) -> None:
        self.runs += 1
        self.action()


class Gate:
    """An action that hangs until `open()`."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.entered = threading.Semaphore(0)

    def __call__(self) -> None:
        self.entered.release()
        self.event.wait(30)

    def open(self) -> None:
        self.event.set()


def fail(error: Exception) -> Callable[[], None]:
    def action() -> None:
        raise error

    return action


def registered(check: Any, role: Impact = Impact.DATABASE, name: str = "database") -> RegisteredCheck:
    return RegisteredCheck(name, check, role, needs_database=role is not Impact.DATABASE)
