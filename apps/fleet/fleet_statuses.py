"""The statuses of the whole fleet, asked of the database: which endpoints have one, and how many. Never stored.

Each statement joins the endpoints with the cases that a chore compared (`apps.fleet.status_cases`), by all that a case
depends on. So an answer is never older than the endpoints, whatever the chore does; those whose case is missing are
compared here.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.db.models import Count, Min, Q, QuerySet
from django.db.models.functions import Coalesce

from . import clock, examination, reasons, status, status_cases
from .key_lists import IsAmong, aggregated, text_of
from .models import Endpoint, Pool, StatusCase
from .models.operations import FILES_DIFFER
from .reasons import Unknown
from .status import EndpointStatus

ENDPOINTS_AT_ONCE = 500
AT_MOST = 4.0
"""Seconds that one run of the chore compares: what it found is seen by others when it ends."""
KEPT = 3600
"""Seconds that a case is kept which no endpoint has: an endpoint that goes back and forth is compared once."""
_NOT_YET = "not_yet"

_CASE = f"""known.revision = revision.id AND known.state = endpoint.state_id AND known.arch = endpoint.arch
 AND known.holds = endpoint.holds AND known."foreign" = endpoint."foreign"
 AND known.excluded = pool.excluded_packages AND known.package_limit = %s
 AND known.rules = {status_cases.RULES}"""
# The pools with their targets first: they are few, and the endpoints are joined once less.
_ENDPOINTS = f"""fleet_endpoint AS endpoint LEFT JOIN (fleet_pool AS pool
 LEFT JOIN fleet_targetrevision AS revision ON revision.id = pool.target_id) ON pool.id = endpoint.pool_id
 LEFT JOIN fleet_statuscase AS known ON {_CASE}"""
# S608 and S611 below: the texts are these constants and words of enumerations; what varies is a parameter.
# The words are EndpointStatus's, Unknown's in place of `unknown`, and _NOT_YET; the order is that of `status._cases`
# and `reasons.unknown`.
_VERDICT = f"""CASE WHEN pool.id IS NULL THEN '{Unknown.NO_POOL}' WHEN revision.id IS NULL THEN '{Unknown.NO_TARGET}'
 WHEN endpoint.state_id IS NULL THEN '{Unknown.NOT_REPORTED}'
 WHEN endpoint.state_id = revision.state_id THEN '{EndpointStatus.IN_SYNC}'
 WHEN known.verdict IS NULL THEN '{_NOT_YET}'
 WHEN known.verdict <> '{Unknown.OTHER_ARCHITECTURE}' AND {{unreadable}} THEN '{Unknown.DATABASES_UNREADABLE}'
 ELSE known.verdict END"""
_REPORTED = {
    "postgresql": """COALESCE(endpoint.examination @> '[{{"code": "{}"}}]', false)""",
    "sqlite": """EXISTS (SELECT 1 FROM json_each(endpoint.examination) AS one
 WHERE json_extract(one.value, '$.code') = '{}')""",
}


@dataclass(frozen=True, kw_only=True)
class Group:
    """`count` endpoints of a pool (a primary key, None: in none) that have the same status.

    `first` is the first of them by name. `since` is the oldest time at which one of them was seen, or enrolled if it
    was never seen. `unknown` says why the status is `unknown`. `files_differ`: they reported that; it isn't known of
    silent endpoints. `diverged`: the keys of endpoints that have diverged, as text for `IsAmong`.
    """

    pool: int | None
    status: EndpointStatus
    unknown: Unknown | None
    files_differ: bool
    count: int
    first: str
    since: datetime
    diverged: str = ""


def with_status(rows: QuerySet[Endpoint], wanted: EndpointStatus) -> QuerySet[Endpoint]:
    """Those of the rows that have this status now."""
    quiet_since = clock.now() - status.offline_after()
    if wanted == EndpointStatus.OFFLINE:
        return rows.filter(Q(last_seen=None) | Q(last_seen__lt=quiet_since))
    words = list(Unknown) if wanted == EndpointStatus.UNKNOWN else [wanted]
    found, late = _by_verdict(rows, quiet_since, words)
    if not late:
        return rows.filter(IsAmong(found))
    known = status.by_packages(Endpoint.objects.filter(IsAmong(late)).only(*status.FIELDS))
    alike = text_of(pk for pk, one in known.items() if one == wanted)
    return rows.filter(Q(IsAmong(found)) | Q(IsAmong(alike)))


def groups(pool: int | None = None) -> list[Group]:
    """Every endpoint (of this pool) is in exactly one of these. The caller wants a consistent read."""
    quiet_since = clock.now() - status.offline_after()
    rows = Endpoint.objects.order_by() if pool is None else Endpoint.objects.order_by().filter(pool=pool)
    silent = rows.filter(Q(last_seen=None) | Q(last_seen__lt=quiet_since)).values("pool_id")
    seen = Min(Coalesce("last_seen", "created"))
    found = [
        Group(
            pool=row["pool_id"],
            status=EndpointStatus.OFFLINE,
            unknown=None,
            files_differ=False,
            count=row["count"],
            first=row["first"],
            since=row["since"],
        )
        for row in silent.annotate(count=Count("pk"), first=Min("name"), since=seen)
    ]
    late = False
    for verdict, *row in _online(quiet_since, pool):
        if verdict == _NOT_YET:
            late = True
        else:
            found.append(_group(verdict, *row))
    return [*found, *_late(rows.filter(last_seen__gte=quiet_since))] if late else found


def counts() -> dict[EndpointStatus, int]:
    """How many endpoints have each status, including statuses with no endpoint."""
    found = Counter[EndpointStatus]()
    for group in groups():
        found[group.status] += group.count
    return {name: found[name] for name in EndpointStatus}


def refresh() -> int:
    """Compare the cases that some endpoint has and that aren't known yet, for AT_MOST seconds. Returns how many.

    A chore's step.
    """
    began, added = time.monotonic(), 0
    done: set[str] = set()  # what can't be joined is not compared for ever
    while time.monotonic() < began + AT_MOST:
        rows = list(Endpoint.objects.filter(pk__in=_not_yet()).only(*status.FIELDS))
        goals = status_cases.goals({one.pool_id for one in rows if one.pool_id})
        cases = {case.key: case for one in rows if (case := status_cases.of(one, goals))}
        missing = [case for key, case in cases.items() if key not in done]
        if not missing:
            break
        done |= cases.keys()
        for start in range(0, len(missing), status_cases.PAIRS_AT_ONCE):
            added += _store(missing[start : start + status_cases.PAIRS_AT_ONCE])
    return added


def trim() -> int:
    """Remove the cases that no endpoint has and that are older than KEPT. Returns how many. A chore's step."""
    used = f"SELECT known.key FROM {_ENDPOINTS} WHERE known.key IS NOT NULL"  # noqa: S608
    old = connection.ops.adapt_datetimefield_value(clock.now() - timedelta(seconds=KEPT))
    with _joined(
        f"DELETE FROM fleet_statuscase WHERE created < %s AND key NOT IN ({used})",  # noqa: S608
        [old, settings.STATE_MAX_PACKAGES],
    ) as cursor:
        return int(cursor.rowcount)


def _store(cases: list[status_cases.Case]) -> int:
    fitting = [case for case in cases if case.fits]
    counted = status_cases.compared(fitting)
    rows = []
    for case in cases:
        counts = counted.get(case)
        if not case.fits:
            verdict: str = Unknown.OTHER_ARCHITECTURE
        else:
            verdict = Unknown.NOT_COMPARED if counts is None else status.of_kinds(counts)
        rows.append(
            StatusCase(
                key=case.key,
                revision=case.goal.revision,
                state=case.state,
                arch=case.arch,
                holds=list(case.holds),
                foreign=list(case.foreign),
                excluded=list(case.goal.excluded),
                package_limit=case.goal.limit,
                rules=status_cases.RULES,
                verdict=verdict,
                kinds=dict(counts) if counts is not None else None,
            )
        )
    StatusCase.objects.bulk_create(rows, ignore_conflicts=True)
    return len(rows)


def _verdict() -> str:
    return _VERDICT.format(unreadable=_REPORTED[connection.vendor].format(examination.UNREADABLE))


@contextmanager
def _joined(statement: str, parameters: list[Any]) -> Iterator[CursorWrapper]:
    """A cursor with the result of a statement that joins endpoints with cases.

    Right after a new target PostgreSQL's statistics know nothing of the many new cases. It would take them for a few,
    and compare each endpoint with each: 10,000 took it 6 to 12 seconds instead of 25 milliseconds. So it may not.
    """
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # One message and one transaction. The setting ends with the statement, even within a larger transaction.
            cursor.execute(
                f"SET LOCAL enable_nestloop = off; {statement}; SET LOCAL enable_nestloop TO DEFAULT", parameters
            )
            cursor.nextset()
        else:
            cursor.execute(statement, parameters)
        yield cursor


def _not_yet() -> list[int]:
    """The primary keys of some endpoints whose case isn't known yet, ENDPOINTS_AT_ONCE at most."""
    with _joined(
        f"SELECT endpoint.id FROM {_ENDPOINTS} WHERE ({_verdict()}) = '{_NOT_YET}' LIMIT {ENDPOINTS_AT_ONCE}",  # noqa: S608
        [settings.STATE_MAX_PACKAGES],
    ) as cursor:
        return [key for (key,) in cursor.fetchall()]


def _by_verdict(rows: QuerySet[Endpoint], quiet_since: datetime, words: Iterable[str]) -> tuple[str, str]:
    """Of the rows that aren't silent, those whose verdict is one of these words, and those whose case isn't known yet.

    Their primary keys as texts for `IsAmong`, the second one empty if there are none: what follows (a count, a page)
    needn't join again.
    """
    listed = ", ".join(f"'{word}'" for word in [*words, _NOT_YET])
    where, parameters = "endpoint.last_seen >= %s", [connection.ops.adapt_datetimefield_value(quiet_since)]
    if rows.query.has_filters():
        chosen, more = rows.order_by().values("pk").query.sql_with_params()
        where, parameters = f"{where} AND endpoint.id IN ({chosen})", [*parameters, *more]
    with _joined(
        f"SELECT verdict = '{_NOT_YET}', {aggregated('id')} FROM (SELECT endpoint.id, {_verdict()} AS verdict"  # noqa: S608
        f" FROM {_ENDPOINTS} WHERE {where}) AS found WHERE verdict IN ({listed}) GROUP BY 1",
        [settings.STATE_MAX_PACKAGES, *parameters],
    ) as cursor:
        found = {bool(late): text for late, text in cursor.fetchall()}
    return found.get(False, text_of([])), found.get(True, "")


def _online(quiet_since: datetime, pool: int | None) -> list[tuple[Any, ...]]:
    """(verdict, pool, whether files differ, count, first, since, keys) of the endpoints that aren't silent.

    The keys only of those that have diverged.
    """
    differ, diverged = _REPORTED[connection.vendor].format(FILES_DIFFER), f"verdict = '{EndpointStatus.DIVERGED}'"
    parameters: list[Any] = [settings.STATE_MAX_PACKAGES, connection.ops.adapt_datetimefield_value(quiet_since)]
    where = "endpoint.last_seen >= %s"
    if pool is not None:
        where, parameters = f"{where} AND endpoint.pool_id = %s", [*parameters, pool]
    with _joined(
        f"SELECT verdict, pool_id, differ, COUNT(*), MIN(name), MIN(last_seen),"  # noqa: S608
        f" {aggregated('id', only=diverged)}"
        f" FROM (SELECT {_verdict()} AS verdict, {differ} AS differ, endpoint.* FROM {_ENDPOINTS} WHERE {where})"
        f" AS found GROUP BY 1, 2, 3",
        parameters,
    ) as cursor:
        return list(cursor.fetchall())


def _group(verdict: str, pool: int | None, differ: Any, count: int, first: str, since: Any, keys: str | None) -> Group:
    unknown = Unknown(verdict) if verdict in set(Unknown) else None
    if not isinstance(since, datetime):
        since = datetime.fromisoformat(since).replace(tzinfo=UTC)
    return Group(
        pool=pool,
        status=EndpointStatus.UNKNOWN if unknown else EndpointStatus(verdict),
        unknown=unknown,
        files_differ=bool(differ),
        count=count,
        first=first,
        since=since,
        diverged=keys or "",
    )


def _late(rows: QuerySet[Endpoint]) -> Iterable[Group]:
    """Those whose case isn't known yet, each a group of its own."""
    found = list(rows.filter(pk__in=_not_yet()).only("name", *status.FIELDS))
    known = status.by_packages(found)
    arches = dict(Pool.objects.filter(target__isnull=False).values_list("pk", "target__state__arch"))
    for one in found:
        unknown = known[one.pk] == EndpointStatus.UNKNOWN
        yield Group(
            pool=one.pool_id,
            status=known[one.pk],
            unknown=reasons.unknown(one, arches.get(one.pool_id or 0)) if unknown else None,
            files_differ=examination.files_differ(one),
            count=1,
            first=one.name,
            since=one.last_seen or one.created,
            diverged=text_of([one.pk]) if known[one.pk] == EndpointStatus.DIVERGED else "",
        )
