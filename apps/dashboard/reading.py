"""What the fleet says about many endpoints, in a number of queries that doesn't grow with them. It holds no rule."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.dashboard.look import STATUSES
from apps.fleet import examination, last_results, status
from apps.fleet.alpm.state import InstalledPackage
from apps.fleet.difference import Change
from apps.fleet.models import Endpoint, Operation, Pool
from apps.fleet.models.operations import ACTIVE, FILES_DIFFER, WENT_WRONG
from apps.fleet.revisions import Unmanaged

CHUNK = 10_000
CHANGES_SHOWN = 200
# (pool id, name in look.STATUSES) of endpoints by their primary key.
Statuses = dict[int, tuple[int | None, str]]
StatusRule = Callable[[Iterable[Endpoint]], Mapping[int, str]]
POOLS_OFFERED = 200


@dataclass(frozen=True, kw_only=True)
class Row:
    """One endpoint as a line of a table; `look` is a name in look.STATUSES."""

    endpoint: Endpoint
    look: str
    counts: Mapping[str, int] | None
    operation: Operation | None
    last: Operation | None = None

    @property
    def status(self) -> str:
        """The status that the API gives it."""
        return status.Status.IN_SYNC if self.look == FILES_DIFFER else self.look

    @property
    def went_wrong(self) -> bool:
        """Whether its newest operation failed or was lost, and it isn't in sync since."""
        newest = self.last if self.operation is None and self.status != status.Status.IN_SYNC else None
        return newest is not None and newest.status in WENT_WRONG


class Line(NamedTuple):
    """One change as a line of a table: `kind` has a look, `absent` says what the side without a package means."""

    name: str
    kind: str
    before: InstalledPackage | None
    after: InstalledPackage | None
    absent: str = "not installed"


def rows(endpoints: Iterable[Endpoint], known: Statuses | None = None) -> list[Row]:
    """The endpoints with status, counts of their difference, active operation and last finished one."""
    endpoints = list(endpoints)
    looks = {pk: name for pk, (_, name) in known.items()} if known else looks_of(endpoints)
    counts = status.differences(endpoints)
    found = Operation.objects.filter(endpoint__in=endpoints, status__in=ACTIVE).defer("result", "foreign")
    active = {operation.endpoint_id: operation for operation in found}
    last = last_results.of([endpoint.pk for endpoint in endpoints])
    return [
        Row(
            endpoint=endpoint,
            look=looks[endpoint.pk],
            counts=counts.get(endpoint.pk),
            operation=active.get(endpoint.pk),
            last=last.get(endpoint.pk),
        )
        for endpoint in endpoints
    ]


def looks_of(endpoints: Collection[Endpoint], rule: StatusRule = status.of) -> dict[int, str]:
    """What each endpoint looks like: its status by `rule`, or that it is in sync and has files that differ."""
    known = rule(endpoints)
    differ = {one.pk for one in endpoints if known[one.pk] == status.Status.IN_SYNC and examination.files_differ(one)}
    return {pk: FILES_DIFFER if pk in differ else str(name) for pk, name in known.items()}


def statuses_of(endpoints: QuerySet[Endpoint], rule: StatusRule = status.of) -> Statuses:
    """(pool id, name in look.STATUSES) of each endpoint by `rule` (of apps.fleet.status), in the order of the query."""
    found: Statuses = {}
    each = endpoints.only(*status.FIELDS).iterator(chunk_size=CHUNK)
    while chunk := list(islice(each, CHUNK)):
        known = looks_of(chunk, rule)
        found.update((endpoint.pk, (endpoint.pool_id, known[endpoint.pk])) for endpoint in chunk)
    return found


def counted(statuses: Iterable[str]) -> dict[str, int]:
    """How many there are of each status, every status included, in the order in which they are shown."""
    found = Counter(statuses)
    return {name: found[name] for name in STATUSES}


def by_look(counts: Mapping[Any, int], files_differ: int) -> dict[str, int]:
    """Counts by status as they are shown, in order: those in sync whose files differ apart from the others."""
    apart = {FILES_DIFFER: files_differ, status.Status.IN_SYNC: counts.get(status.Status.IN_SYNC, 0) - files_differ}
    return {name: apart[name] if name in apart else counts.get(name, 0) for name in STATUSES}


def page_of(request: HttpRequest, found: Any, per_page: int, parameter: str = "page") -> Page[Any]:
    """The page that the request asks for; the nearest one when there is no such page."""
    return Paginator(found, per_page).get_page(request.GET.get(parameter))


def pool_names() -> list[str]:
    """The names of pools that are offered while somebody types one: the first POOLS_OFFERED."""
    return list(Pool.objects.order_by("name").values_list("name", flat=True)[:POOLS_OFFERED])


def by_reason(unmanaged: Iterable[Unmanaged]) -> dict[str, list[str]]:
    """The names that a target leaves alone, by why; only the reasons that there are."""
    found: dict[str, list[str]] = {}
    for one in unmanaged:
        found.setdefault(one["why"], []).append(one["name"])
    return dict(sorted(found.items()))


def shown(
    request: HttpRequest,
    changes: list[Change],
    *,
    unmanaged_before: Collection[str] = (),
    unmanaged_after: Collection[str] = (),
) -> dict[str, Any]:
    """Changes for `pacsync/changes.html`: counts, and the first CHANGES_SHOWN or, with `?changes=all`, all.

    The names that a revision on either side doesn't manage are neither installed nor removed by the change.
    """
    lines = [_line(change, unmanaged_before, unmanaged_after) for change in changes]
    visible = lines if request.GET.get("changes") == "all" else lines[:CHANGES_SHOWN]
    return {
        "changes": visible,
        "more": len(lines) - len(visible),
        "all": "?changes=all",
        "counts": Counter(line.kind for line in lines),
    }


def _line(change: Change, unmanaged_before: Collection[str], unmanaged_after: Collection[str]) -> Line:
    if change.before is None and change.name in unmanaged_before:
        return Line(change.name, "manage", None, change.after, "not managed")
    if change.after is None and change.name in unmanaged_after:
        return Line(change.name, "leave", change.before, None, "not managed")
    return Line(change.name, change.kind, change.before, change.after)
