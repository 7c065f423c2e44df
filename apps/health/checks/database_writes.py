"""The check that the database takes writes. It must not write anything itself."""

from dataclasses import dataclass, field
from datetime import timedelta

from health_check import HealthCheck

from apps.health.checks.bounded_connection import LIMIT
from apps.health.checks.exceptions import NotWritable
from apps.lifecycle.dbpool import write_state


@dataclass
class DatabaseWritesCheck(HealthCheck):  # type: ignore[misc]  # django-health-check has no types
    """Writes that happen anyway have succeeded, above all the instance's heartbeat. The check writes nothing itself."""

    timeout: timedelta = field(default=LIMIT, repr=False)

    def run(self) -> None:
        if problem := write_state.problem():
            raise NotWritable(problem)
