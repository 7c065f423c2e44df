"""The check of the dbpool, only by its numbers. It must not take a connection."""

from dataclasses import dataclass, field
from datetime import timedelta

from health_check import HealthCheck

from apps.health.checks.bounded_connection import LIMIT
from apps.health.checks.exceptions import Waits
from apps.lifecycle.dbpool import facade


@dataclass
class DbpoolCheck(HealthCheck):  # type: ignore[misc]  # django-health-check has no types
    """No request is waiting for a connection. Under load one may: that is a warning, and traffic continues."""

    timeout: timedelta = field(default=LIMIT, repr=False)

    def run(self) -> None:
        if facade.writes_refused():
            text = "another program holds SQLite's write lock: writes are refused, reads still work"
            raise Waits(text, "write_lock_held")
        sample = facade.sample()
        if sample and sample.waiting and not sample.idle and sample.size >= sample.max_size:
            raise Waits(f"{sample.waiting} requests wait for a connection", "waits_for_connection")
