"""How far an operation is, as its agent said with the last heartbeat. It must not know HTTP or how it is shown.

It is kept in the operation's row, which a heartbeat writes anyway, and nowhere else: no history, no audit.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count

from . import limits, text_input
from .exceptions import Invalid
from .leases import LEASE_SECONDS
from .models import Operation
from .models.operations import CLAIMED, OperationStatus

PREPARING = "preparing"
"""The phase of a leased operation whose agent hasn't said how far it is."""

NOT_PHASES = frozenset(OperationStatus.values) - {"applying"}
"""Words of the server that no agent's phase is counted by."""


@dataclass(frozen=True, kw_only=True)
class OperationProgress:
    """`phase` is the agent's word (rehearsing, downloading, applying, verifying, comparing, or a newer agent's).

    `done` of `total` packages; 0 of 0 where that makes no sense. Bytes are of downloads. `package` is the one that is
    worked on, `hosts` (`scheme://host:port`) those from which something comes, `waiting` what nothing goes on without.
    """

    phase: str
    done: int = 0
    total: int = 0
    bytes_done: int = 0
    bytes_total: int = 0
    package: str = ""
    hosts: tuple[str, ...] = ()
    waiting: str = ""

    @property
    def percent(self) -> int | None:
        """How much of it is done, 0 to 100, by bytes where they are known; None if no total is."""
        done, total = (self.bytes_done, self.bytes_total) if self.bytes_total else (self.done, self.total)
        return min(100, done * 100 // total) if total else None


def checked(said: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What an agent said, if it can be kept; None for nothing. Raises Invalid."""
    if said is None:
        return None
    try:
        progress = OperationProgress(**said)
    except TypeError:
        raise Invalid("progress has a field that isn't known.", field="progress") from None
    text_input.line(progress.phase, field="progress.phase", maximum=limits.PHASE_LENGTH)
    text_input.line(progress.package, field="progress.package", maximum=limits.PACKAGE_NAME_LENGTH, empty=True)
    text_input.line(progress.waiting, field="progress.waiting", maximum=limits.PROGRESS_WAITING_LENGTH, empty=True)
    if not isinstance(progress.hosts, Sequence) or len(progress.hosts) > limits.PROGRESS_HOSTS:
        raise Invalid(f"progress.hosts: more than {limits.PROGRESS_HOSTS}.", field="progress.hosts")
    for host in progress.hosts:
        text_input.line(host, field="progress.hosts", maximum=limits.PACKAGE_NAME_LENGTH)
    for name in ("done", "total", "bytes_done", "bytes_total"):
        number = getattr(progress, name)
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= limits.PROGRESS_NUMBER:
            raise Invalid(f"progress.{name} must be a whole number from 0 to 2^53 - 1.", field=f"progress.{name}")
    return asdict(progress)


def of(operation: Operation) -> OperationProgress | None:
    """How far the operation is; None if no agent has it, or if its agent didn't say."""
    said = operation.progress
    if not said or not operation.is_claimed:
        return None
    known = {field.name for field in fields(OperationProgress)}  # a newer server may have kept more
    kept = {key: value for key, value in said.items() if key in known}
    return OperationProgress(**kept | {"hosts": tuple(said.get("hosts", ()))})


def heard(operation: Operation) -> datetime | None:
    """When its agent was last heard from, by its lease; None if no agent has it."""
    return operation.lease_until - timedelta(seconds=LEASE_SECONDS) if operation.lease_until else None


def phases(pools: Collection[int] | None = None) -> dict[int, dict[str, int]]:
    """How many active operations of each pool are in which phase, most first; `queued` is one of them. One query."""
    active = Operation.objects.active().filter(endpoint__pool__isnull=False)
    if pools is not None:
        active = active.filter(endpoint__pool__in=pools)
    rows = active.order_by().values_list("endpoint__pool", "status", "progress__phase").annotate(count=Count("pk"))
    found: dict[int, dict[str, int]] = {}
    for pool, status, phase, count in rows:
        name = PREPARING if status == "leased" else status
        if status in CLAIMED and phase and phase not in NOT_PHASES:
            name = phase
        counts = found.setdefault(pool, {})
        counts[name] = counts.get(name, 0) + count
    return {pool: dict(sorted(counts.items(), key=lambda one: (-one[1], one[0]))) for pool, counts in found.items()}
