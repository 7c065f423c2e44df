"""What `manage.py endpoints NAME` says about an endpoint, in lines for people. It must not know its options."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from apps.fleet import last_results, paused_automatic_sync
from apps.fleet.models import Endpoint, OperationStatus
from apps.lifecycle.management.output import minute

_ENDED = {
    OperationStatus.FAILED: "failed",
    OperationStatus.CANCELLED: "was cancelled",
    OperationStatus.LOST: "was lost",
}
_RESTS = {"failed": "failed", paused_automatic_sync.ROLLED_BACK: "was rolled back on the machine"}
_CAUSE_LENGTH = 200


def summary(document: dict[str, Any]) -> list[str]:
    """Its status, where it is, and why."""
    where = f"in pool {document['pool']}" if document["pool"] else "in no pool"
    return [f"{document['name']} is {document['status'].replace('_', ' ')}, {where}.", document["why"]]


def troubles(endpoint: Endpoint, rest: dict[str, Any] | None) -> Iterator[str]:
    """Lines if its last operation didn't succeed, and if automatic sync rests, as `rest` says. One query."""
    last = last_results.of([endpoint.pk]).get(endpoint.pk)
    if last is not None and last.status in _ENDED:
        said = last.result or {}
        message = str(said.get("message") or "").strip().splitlines() or [str(said.get("code") or "").replace("_", " ")]
        cause = f": {message[0][:_CAUSE_LENGTH]}" if message[0] else "."
        ended = _ENDED[OperationStatus(last.status)]
        yield f"Its last {last.kind} {ended} at {minute(last.finished)} UTC (operation {last.pk}){cause}"
    if rest is None:
        return
    how = _RESTS.get(rest["why"], f"was {rest['why']}")
    since = minute(datetime.fromisoformat(rest["since"]))
    yield (
        f"Automatic sync rests since {since} UTC, because the last sync to this target {how}. "
        "It resumes with a new target, or when somebody resumes it."
    )
