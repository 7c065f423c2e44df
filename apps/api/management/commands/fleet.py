"""`manage.py fleet`: is anything wrong, and where. apps.fleet.attention decides what it says."""

from collections.abc import Iterator
from typing import Any

from apps.api.management.console import clear_errors
from apps.api.schemas.fleet import FleetOut, ItemOut, PoolRowOut, fleet_out
from apps.fleet.plural import counted
from apps.fleet.status import EndpointStatus
from apps.lifecycle.management.output import ExitCode, TellingCommand, minute, table

HEADER = ("POOL", "TARGET", "ENDPOINTS", *(str(status).replace("_", " ").upper() for status in EndpointStatus))


class Command(TellingCommand):
    help = (
        "Show the fleet: endpoints by status, what needs attention (worst first), and each pool. Exit code 0: "
        "nothing needs attention; 1: something does; 2: there is no answer."
    )
    example = "--format json"
    failure = 2

    def handle(self, *args: Any, **options: Any) -> None:
        with clear_errors():
            found = fleet_out()
        self.tell(options, found.model_dump(mode="json"), lines(found))
        if found.attention:
            raise ExitCode(1)


def lines(found: FleetOut) -> Iterator[str]:
    """The answer, in lines for people."""
    counts = found.counts.model_dump()
    total = sum(counts.values())
    shares = [f"{count:,} {name.replace('_', ' ')}{_differ(name, found)}" for name, count in counts.items() if count]
    yield ", ".join([counted(total, "endpoint"), *shares])
    yield from (
        ["", "Needs attention:", *map(_item, found.attention)] if found.attention else ["Nothing needs attention."]
    )
    if found.pools:
        yield ""
        yield from table((*HEADER, "FILES DIFFER", "UNDER WAY", "FAILED"), [_pool(row) for row in found.pools])


def _differ(status: str, found: FleetOut) -> str:
    """The text after the number of endpoints that are in sync."""
    if status != EndpointStatus.IN_SYNC or not found.files_differ:
        return ""
    return f" (files differ on {found.files_differ:,} of them)"


def _item(item: ItemOut) -> str:
    since = f" (since {minute(item.since)} UTC)" if item.since else ""
    return f"  {item.severity:<4}  {item.kind.replace('_', ' ')}, {item.object}: {item.cause}{since}"


def _pool(row: PoolRowOut) -> tuple[object, ...]:
    target = f"#{row.target}" if row.target else None
    running = f"{row.running.done} of {row.running.of} done" if row.running else None
    counts = (getattr(row.counts, name) for name in EndpointStatus)
    return row.name, target, row.endpoints, *counts, row.files_differ, running, row.failed
