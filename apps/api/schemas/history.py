"""The history of an endpoint, in the API: its states, and what changed with each."""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, Field

from apps.api.requests.fields import Time
from apps.api.schemas.endpoints import ChangeOut
from apps.api.schemas.operations import Plan
from apps.fleet import difference, timeline
from apps.fleet.models import EndpointState


class HistoryOut(BaseModel):
    """The endpoint was in `state` from `at` until the next entry."""

    seq: int
    state: str
    cause: Literal["report", "operation"]
    at: Time
    before: str | None = Field(description="The state before it; null if that isn't kept.")
    counts: Plan | None = Field(description="How many packages changed, by kind; null if `before` is.")
    changes: list[ChangeOut] | None = Field(description="Which ones, with `changes=true`.")


def history_out(
    entries: Sequence[EndpointState], before: EndpointState | None, *, with_changes: bool
) -> list[HistoryOut]:
    """Entries newest first; `before` is the one before the last of them. Raises ComparisonTooLong."""
    pairs = list(timeline.with_previous([*entries, *([before] if before else [])]))[: len(entries)]
    found = timeline.changes_between([(two.state_id, one.state_id) for one, two in pairs if two])
    return [_entry_out(one, two, found, with_changes) for one, two in pairs]


def _entry_out(
    entry: EndpointState,
    before: EndpointState | None,
    found: dict[timeline.Pair, list[difference.Change]],
    with_changes: bool,
) -> HistoryOut:
    changes = found.get((before.state_id, entry.state_id)) if before else None
    return HistoryOut.model_validate(
        {
            "seq": entry.seq,
            "state": entry.state_id,
            "cause": entry.cause,
            "at": entry.at,
            "before": before.state_id if before else None,
            "counts": difference.counts(changes) if changes is not None else None,
            "changes": difference.as_json(changes) if changes is not None and with_changes else None,
        }
    )
