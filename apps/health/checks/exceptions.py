"""What a check raises if something is wrong, in addition to the exceptions of django-health-check and the database.

It must not know what follows: `apps.health.checking.execution` decides that.
"""

from health_check.exceptions import ServiceUnavailable, ServiceWarning

from apps.lifecycle.dbpool import write_state


class NotInitialized(ServiceUnavailable):  # type: ignore[misc]  # django-health-check has no types
    """The component was never set up (its tables are missing), which is not the same as being broken."""


class MigrationsPending(ServiceUnavailable):  # type: ignore[misc]  # django-health-check has no types
    """The schema is older than the code."""


class LacksRight(ServiceUnavailable):  # type: ignore[misc]  # django-health-check has no types
    """The server's role may not do what the check does."""

    problem = write_state.NO_RIGHT


class NotWritable(ServiceUnavailable):  # type: ignore[misc]  # django-health-check has no types
    """The database answers, but takes no writes; `problem` is one of write_state.PROBLEMS."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"the database takes no writes: {problem}")
        self.problem = problem


class Waits(ServiceWarning):  # type: ignore[misc]  # django-health-check has no types
    """It works, but something had to wait; `problem` says for what."""

    def __init__(self, message: str, problem: str) -> None:
        super().__init__(message)
        self.problem = problem
