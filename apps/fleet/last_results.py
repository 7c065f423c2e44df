"""The newest finished operation of endpoints: how their last sync or revert ended. It writes nothing."""

from collections.abc import Collection

from django.db.models import Count, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

from . import states
from .models import Endpoint, Operation
from .models.operations import WENT_WRONG

NEVER = "never"
"""The last result of an endpoint that has no finished operation."""


def _newest(endpoint: str) -> QuerySet[Operation]:
    return Operation.objects.final().filter(endpoint=OuterRef(endpoint)).order_by("-created", "-id")


def status() -> Coalesce:
    """For a query of endpoints: succeeded, failed, cancelled or lost; NEVER without one."""
    return Coalesce(Subquery(_newest("pk").values("status")[:1]), Value(NEVER))


def went_wrong(endpoints: QuerySet[Endpoint]) -> dict[str, int]:
    """How many of these endpoints have a newest finished operation that failed or was lost, by status; no zeros."""
    found = endpoints.order_by().annotate(last=status()).filter(last__in=WENT_WRONG)
    return dict(found.values_list("last").annotate(number=Count("pk")).order_by("last"))


def of(endpoints: Collection[int]) -> dict[int, Operation]:
    """The newest finished operation of each of these endpoints that has one, by the endpoint's primary key."""
    found: dict[int, Operation] = {}
    for chunk in states.chunks(sorted(endpoints)):
        newest = Endpoint.objects.filter(pk__in=chunk).annotate(last=Subquery(_newest("pk").values("pk")[:1]))
        rows = Operation.objects.filter(pk__in=newest.values("last")).defer("foreign", "plan")
        found.update((operation.endpoint_id, operation) for operation in rows)
    return found
