"""Which endpoints, operations and audit events a list shows, and in which order: the same words for pages and API.

What isn't in the database, the status of an endpoint, is left to the code that lists them. It must not know HTTP.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Coalesce

from . import last_results, package_questions
from .fleet_survey import Survey
from .key_lists import IsAmong, text_of
from .models import AuditEvent, Endpoint, Operation
from .models.operations import FILES_DIFFER, FINAL, OperationStatus
from .reported_problem import Reported

IN_NO_POOL = "-"
ACTIVE_WORD = "active"
LAST_RESULTS = (*(status.value for status in FINAL), last_results.NEVER, last_results.HEALTH_FAILED)
# Each way to sort by the field that comes first; the name, which is unique, decides between equals.
ENDPOINT_SORTS: Mapping[str, str] = {
    "name": "name",
    "pool": "sorted_pool",
    "last_seen": "sorted_seen",
    "agent_version": "agent_version",
}
SORTS = tuple(sign + name for name in ENDPOINT_SORTS for sign in ("", "-"))
_NEVER_SEEN = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


@dataclass(frozen=True, kw_only=True)
class EndpointFilter:
    """What is left at its default selects everything. `name` is a part of it, whatever its case; `pool` may be `-`.

    `package` is one that they have; `seen_after` and `seen_before` are about their last check-in, and an endpoint that
    was never seen was seen before any time. `last_result` is one of LAST_RESULTS, `sort` one of SORTS. `files_differ`
    is about what they reported, whatever their status; `resting` about automatic sync, which would sync them else;
    `after_sync` is one of LEFT_TO_DO, which they reported; `token_shared` is about tokens that more than one machine
    has, `awaits_approval` about new endpoints.
    """

    pool: str = ""
    name: str = ""
    package: str = ""
    agent_version: str = ""
    seen_after: datetime | None = None
    seen_before: datetime | None = None
    last_result: str = ""
    files_differ: bool | None = None
    resting: bool | None = None
    after_sync: str = ""
    token_shared: bool | None = None
    awaits_approval: bool | None = None
    sort: str = "name"

    def rows(self) -> QuerySet[Endpoint]:
        """The endpoints with their pool, not yet sorted. Raises ComparisonTooLong (`package`)."""
        found: QuerySet[Endpoint] = Endpoint.objects.select_related("pool").annotate(
            sorted_pool=Coalesce("pool__name", Value("")), sorted_seen=Coalesce("last_seen", Value(_NEVER_SEEN))
        )
        if self.pool:
            found = found.filter(pool=None) if self.pool == IN_NO_POOL else found.filter(pool__name=self.pool)
        if self.name:
            found = found.filter(name__icontains=self.name)
        if self.package:
            found = package_questions.having(found, self.package)
        if self.agent_version:
            found = found.filter(agent_version=self.agent_version)
        if self.seen_after:
            found = found.filter(last_seen__gte=self.seen_after)
        if self.seen_before:
            found = found.filter(Q(last_seen__lt=self.seen_before) | Q(last_seen=None))
        if self.files_differ is not None:
            found = found.filter(Q(Reported(FILES_DIFFER)) if self.files_differ else ~Q(Reported(FILES_DIFFER)))
        if self.resting is not None:
            rests = Q(IsAmong(text_of(rest.endpoint for rest in Survey().rests)))
            found = found.filter(rests if self.resting else ~rests)
        if self.after_sync:
            found = found.filter(Reported(self.after_sync))
        if self.token_shared is not None:
            found = found.filter(token_shared__isnull=not self.token_shared)
        if self.awaits_approval is not None:
            found = found.filter(awaits_approval=self.awaits_approval)
        if self.last_result:
            found = found.filter(last_results.ended(self.last_result))
        return found

    def order(self) -> tuple[str, ...]:
        """The fields to order by, unique together, all in the same direction."""
        sign, field = "-" if self.sort.startswith("-") else "", ENDPOINT_SORTS[self.sort.lstrip("-")]
        return (f"{sign}name",) if field == "name" else (f"{sign}{field}", f"{sign}name")


@dataclass(frozen=True, kw_only=True)
class OperationFilter:
    """`endpoint` is a whole name, `name` a part of one; `pool` is where the endpoint is now.

    `pool` may be `-`, `status` may be `active`; `since` and `until` are about when it was asked for.
    """

    endpoint: str = ""
    name: str = ""
    pool: str = ""
    status: str = ""
    kind: str = ""
    since: datetime | None = None
    until: datetime | None = None
    sort: str = "-created"

    def rows(self) -> QuerySet[Operation]:
        """The operations with their names, not yet sorted."""
        pool = "" if self.pool == IN_NO_POOL else self.pool
        exact = {"endpoint__name": self.endpoint, "endpoint__pool__name": pool, "kind": self.kind}
        found = Operation.objects.with_names().filter(**{field: value for field, value in exact.items() if value})
        if self.pool == IN_NO_POOL:
            found = found.filter(endpoint__pool=None)
        if self.name:
            found = found.filter(endpoint__name__icontains=self.name)
        if self.status:
            found = found.active() if self.status == ACTIVE_WORD else found.filter(status=self.status)
        return _between(found, "created", self.since, self.until)

    def order(self) -> tuple[str, ...]:
        """As `EndpointFilter.order`."""
        return ("created", "id") if self.sort == "created" else ("-created", "-id")


OPERATION_SORTS = ("created", "-created")
OPERATION_STATUSES = (ACTIVE_WORD, *OperationStatus.values)


@dataclass(frozen=True, kw_only=True)
class AuditFilter:
    """`actor`, `verb` and `object` select exactly; `text` is a part of the actor or the object."""

    actor: str | None = None
    verb: str | None = None
    object: str | None = None
    text: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def rows(self) -> QuerySet[AuditEvent]:
        """The events, not yet sorted: newest first is `-id`."""
        exact = {"actor": self.actor, "verb": self.verb, "object": self.object}
        found = AuditEvent.objects.filter(**{field: value for field, value in exact.items() if value is not None})
        if self.text:
            found = found.filter(Q(actor__icontains=self.text) | Q(object__icontains=self.text))
        return _between(found, "at", self.since, self.until)


def _between(found: QuerySet, field: str, since: datetime | None, until: datetime | None) -> QuerySet:  # type: ignore[type-arg]
    if since:
        found = found.filter(**{f"{field}__gte": since})
    return found.filter(**{f"{field}__lt": until}) if until else found
