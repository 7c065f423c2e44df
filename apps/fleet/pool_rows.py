"""Every pool in one line: how its endpoints are, its target, what is under way. It writes nothing."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Exists, OuterRef

from . import progress
from .fleet_survey import Survey
from .models import Endpoint, Operation
from .pool_alarms import PoolAlarm
from .status import EndpointStatus


@dataclass(frozen=True, kw_only=True)
class Running:
    """Operations under way in a pool, and of the endpoints that have one to the current target, how many are done.

    `phases`: how many of those under way are in which phase (`progress.phases`).
    """

    active: int
    done: int
    of: int
    phases: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class PoolRow:
    """A pool in one line. `counts` has every status; `failed` endpoints have a newest operation that went wrong.

    `files_differ` of those that are in sync reported files that differ from their packages.
    """

    name: str
    endpoints: int
    counts: dict[EndpointStatus, int]
    files_differ: int
    target: int | None
    target_set: datetime | None
    running: Running | None
    failed: int
    alarms: tuple[PoolAlarm, ...]


def pools_overview(*, survey: Survey | None = None) -> list[PoolRow]:
    """Every pool, by name. A bounded number of queries."""
    survey = survey or Survey()
    running = _running()
    failed = Counter(failure.pool for failure in survey.failures)
    rows = []
    for pk, pool in survey.pools.items():
        counts = survey.counts_of(pk)
        rows.append(
            PoolRow(
                name=pool.name,
                endpoints=sum(counts.values()),
                counts=counts,
                files_differ=survey.files_differ_of(pk),
                target=pool.target.number if pool.target else None,
                target_set=pool.target.created if pool.target else None,
                running=running.get(pk),
                failed=failed[pk],
                alarms=tuple(survey.alarms[pk]),
            )
        )
    return rows


def _running() -> dict[int, Running]:
    """The pools that have an active operation. Two queries, or one if there is no such pool."""
    phases = progress.phases()
    if not phases:
        return {}
    own = Operation.objects.filter(endpoint=OuterRef("pk"))
    concerned = Exists(own.active()) | Exists(own.filter(revision=OuterRef("pool__target")))
    rows = Endpoint.objects.filter(concerned, pool__in=list(phases)).order_by().values_list("pool")
    found: dict[int, Running] = {}
    for pool, of in rows.annotate(of=Count("pk")):
        active = min(sum(phases[pool].values()), of)  # one may have ended since
        found[pool] = Running(active=active, done=of - active, of=of, phases=phases[pool])
    return found
