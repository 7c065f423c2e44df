"""The first page: the whole fleet at a glance, and for a new user what to do next."""

from collections import defaultdict
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.dashboard.access import reader
from apps.dashboard.look import STATUSES
from apps.dashboard.reading import Row, Statuses, counted, page_of, rows, statuses_of
from apps.dashboard.views.codes import enrol_context
from apps.fleet import pool_alarms
from apps.fleet.models import ChecksumConflict, Endpoint, Operation, Pool
from apps.fleet.models.operations import ACTIVE

POOLS_PER_PAGE = 20
ENDPOINTS_PER_POOL = 10
OPERATIONS_SHOWN = 10
ORDER = {name: position for position, name in enumerate(STATUSES)}


@reader
@require_safe
def overview(request: HttpRequest) -> HttpResponse:
    """Pools with their endpoints, counts by status, active operations; first steps while there is no target."""
    statuses = statuses_of(Endpoint.objects.order_by("name"))
    page = page_of(request, Pool.objects.select_related("target").order_by("name"), POOLS_PER_PAGE)
    pools, unassigned = _sections(list(page), statuses)
    active = Operation.objects.filter(status__in=ACTIVE)
    only = page.object_list[0].name if page.paginator.count == 1 else None
    alarms = pool_alarms.of([section["pool"] for section in pools])
    for section in pools:
        section["alarms"] = alarms[section["pool"].pk]
    context: dict[str, Any] = {
        "section": "fleet",
        "conflict_count": ChecksumConflict.objects.count(),
        "page": page,
        "pools": pools,
        "unassigned": unassigned,
        "unassigned_total": sum(1 for pool, _ in statuses.values() if pool is None),
        "counts": counted(status for _, status in statuses.values()),
        "active": active.with_names().defer("result").order_by("created", "pk")[:OPERATIONS_SHOWN],
        "active_count": active.count(),
        "has_pools": page.paginator.count > 0,
        "has_endpoints": bool(statuses),
        "first_steps": not Pool.objects.filter(target__isnull=False).exists(),
        "only_pool": only,
        **enrol_context(request, "CODE"),
    }
    return render(request, "pacsync/overview.html", context)


def _sections(pools: list[Pool], statuses: Statuses) -> tuple[list[dict[str, Any]], list[Row]]:
    """Each pool with its counts and the endpoints that need attention most; and those of no pool."""
    members: dict[int | None, list[tuple[int, str]]] = defaultdict(list)
    for pk, (pool, status) in statuses.items():
        members[pool].append((pk, status))
    picked = {
        pool: [pk for pk, _ in sorted(members[pool], key=lambda member: ORDER[member[1]])[:ENDPOINTS_PER_POOL]]
        for pool in [*(pool.pk for pool in pools), None]
    }
    found = Endpoint.objects.filter(pk__in=[pk for pks in picked.values() for pk in pks]).order_by("name")
    lines: dict[int | None, list[Row]] = defaultdict(list)
    for row in rows(found, statuses):
        lines[row.endpoint.pool_id].append(row)
    sections = [
        {
            "pool": pool,
            "total": len(members[pool.pk]),
            "counts": counted(status for _, status in members[pool.pk]),
            "rows": lines[pool.pk],
        }
        for pool in pools
    ]
    return sections, lines[None]
