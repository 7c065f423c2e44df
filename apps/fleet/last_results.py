"""The newest finished operation of endpoints: how their last sync or revert ended. It writes nothing."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery

from . import states
from .models import Endpoint, Operation
from .models.operations import FINAL, UNHEALTHY, WENT_WRONG, OperationStatus

NEVER = "never"
"""The last result of an endpoint that has no finished operation."""
HEALTH_FAILED = "unhealthy"
"""The last result of an endpoint whose newest finished operation failed because a health command did."""

_UNHEALTHY = Q(status=OperationStatus.FAILED, result__code__in=UNHEALTHY)


def _newest(*statuses: str) -> QuerySet[Operation]:
    """The newest finished operation of each endpoint for which it has one of these statuses."""
    return Operation.objects.filter(status__in=statuses).newest_final().order_by()


def ended(status: str) -> Q:
    """For a query of endpoints: their newest finished operation has this status, or they have none (NEVER).

    HEALTH_FAILED selects some of those that `failed`.

    Few operations end otherwise than well, and these are quickly found. Hence success is: none of the others.
    """
    any_final = Q(Exists(Operation.objects.final().filter(endpoint=OuterRef("pk"))))
    if status == NEVER:
        return ~any_final
    if status == HEALTH_FAILED:
        return Q(pk__in=_unhealthy().values("endpoint"))
    if status != OperationStatus.SUCCEEDED:
        return Q(pk__in=_newest(status).values("endpoint"))
    others = _newest(*(one for one in FINAL if one != OperationStatus.SUCCEEDED))
    return any_final & ~Q(pk__in=others.values("endpoint"))


def went_wrong(endpoints: QuerySet[Endpoint]) -> dict[str, int]:
    """How many of these endpoints have a newest finished operation that failed or was lost, by status; no zeros.

    HEALTH_FAILED counts some of those that failed.
    """
    found = _newest(*WENT_WRONG).filter(endpoint__in=endpoints.order_by()).order_by("status")
    numbers = {"number": Count("pk"), "unhealthy": Count("pk", filter=_UNHEALTHY)}
    counts, total = {}, 0
    for status, number, unhealthy in found.values_list("status").annotate(**numbers):
        counts[status] = number
        total += unhealthy
    return counts | ({HEALTH_FAILED: total} if total else {})


def count_unhealthy() -> int:
    """How many endpoints have a newest finished operation whose health commands failed."""
    return _unhealthy().count()


def _unhealthy() -> QuerySet[Operation]:
    return _newest(OperationStatus.FAILED).filter(_UNHEALTHY)


class LastResult(NamedTuple):
    """How an operation ended, as lists show it: without what its agent wrote. `code` is empty if there is none."""

    pk: UUID
    kind: str
    status: str
    finished: datetime | None
    code: str


def of(endpoints: Collection[int]) -> dict[int, Operation]:
    """The newest finished operation of each of these endpoints that has one, by the endpoint's primary key."""
    found: dict[int, Operation] = {}
    for chunk in states.chunks(sorted(endpoints)):
        rows = _newest_of(chunk).defer("foreign", "plan")
        found.update((operation.endpoint_id, operation) for operation in rows)
    return found


def short(endpoints: Collection[int]) -> dict[int, LastResult]:
    """The same for a list, which needs little of each."""
    found: dict[int, LastResult] = {}
    for chunk in states.chunks(sorted(endpoints)):
        rows = _newest_of(chunk).values_list("endpoint", "pk", "kind", "status", "finished", "result__code")
        for endpoint, pk, kind, status, finished, code in rows:
            found[endpoint] = LastResult(pk, kind, status, finished, code or "")
    return found


def short_of(operation: Operation) -> LastResult:
    """The same of one that was read."""
    code = (operation.result or {}).get("code") or ""
    return LastResult(operation.pk, operation.kind, operation.status, operation.finished, code)


def _newest_of(endpoints: Collection[int]) -> QuerySet[Operation]:
    final = Operation.objects.final().filter(endpoint=OuterRef("pk")).order_by("-created", "-id")
    newest = Endpoint.objects.filter(pk__in=endpoints).annotate(last=Subquery(final.values("pk")[:1]))
    return Operation.objects.filter(pk__in=newest.values("last"))
