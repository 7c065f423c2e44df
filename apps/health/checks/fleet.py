"""The check of one dependency, a part of the fleet, by that part's own `probe()`. It must not know what that reads."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from django.db import DatabaseError, ProgrammingError
from health_check import HealthCheck

from apps.health.checks.bounded_connection import LIMIT, bounded_connection, is_waiting_for_others
from apps.health.checks.exceptions import NotInitialized, Waits


@dataclass
class DependencyCheck(HealthCheck):  # type: ignore[misc]  # django-health-check has no types
    """A part of the fleet proves that it can work, by its own `probe()`: a few bounded reads of its tables."""

    name: str
    probe: Callable[[], None] = field(repr=False)
    timeout: timedelta = field(default=LIMIT, repr=False)

    def run(self) -> None:
        try:
            with bounded_connection():
                self.probe()
        except DatabaseError as error:
            if is_waiting_for_others(error):
                raise Waits(f"{self.name} waits for a lock", "waits_for_lock") from error
            if isinstance(error, ProgrammingError) or "no such table" in str(error):
                raise NotInitialized(f"the tables of {self.name} are missing") from error
            raise
