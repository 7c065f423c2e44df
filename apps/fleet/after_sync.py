"""What endpoints say is left to do after a sync: a reboot, services to restart, units that have failed since.

They say so in their check-ins, as findings of their examination (`apps.fleet.examination`). It says nothing about an
endpoint as the source of a target. It must not know HTTP.
"""

from enum import StrEnum

from django.db.models import Count, Q, QuerySet

from .models import Endpoint
from .reported_problem import Reported


class LeftToDo(StrEnum):
    """The codes of the findings, in the order in which they are shown."""

    REBOOT_NEEDED = "reboot_needed"
    SERVICES_OUTDATED = "services_outdated"
    UNITS_FAILED = "units_failed"


LEFT_TO_DO = tuple(str(one) for one in LeftToDo)


def counts(endpoints: QuerySet[Endpoint]) -> dict[str, int]:
    """How many of these endpoints said each of them. One query."""
    found = {code: Count("pk", filter=Q(Reported(code))) for code in LEFT_TO_DO}
    return dict(endpoints.order_by().exclude(examination=None).aggregate(**found))
