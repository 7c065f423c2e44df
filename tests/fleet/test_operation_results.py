"""The end of an operation: the result that its agent reports, and being cancelled."""

import uuid
from typing import Any

import pytest

from apps.fleet import exceptions, leases, sync_coordinator, transitions
from apps.fleet.models import AuditEvent, State
from tests import factories
from tests.fleet.operations import expire, reread

pytestmark = pytest.mark.django_db


def test_finish_repeat_returns_the_stored_operation() -> None:
    operation = factories.applying()
    first = factories.finish(operation)
    again = factories.finish(operation, factories.state("other 1-1"), outcome="failed")
    assert (again.status, again.result, again.finished) == (first.status, first.result, first.finished)
    operation.endpoint.refresh_from_db()
    assert operation.endpoint.state_id == operation.target_state_id


@pytest.mark.parametrize(
    ("outcome", "reached", "status"), [("succeeded", "app 1.0-1", "failed"), ("failed", "app 2.0-1", "succeeded")]
)
def test_finish_state_decides_not_the_outcome(outcome: str, reached: str, status: str) -> None:
    operation = factories.finish(factories.applying(), factories.state(reached), outcome=outcome)
    assert (operation.status, operation.result["outcome"]) == (status, outcome)


def test_finish_failed_in_between_keeps_the_difference() -> None:
    operation = factories.finish(factories.applying(), factories.state("app 1.5-1", "new 1-1"), outcome="failed")
    difference = operation.result["difference"]
    assert (difference["counts"]["upgrade"], difference["counts"]["remove"]) == (1, 1)
    assert [change["name"] for change in difference["changes"]] == ["app", "new"]


def test_finish_state_not_uploaded_is_refused_and_changes_nothing() -> None:
    operation = factories.applying()
    with pytest.raises(exceptions.StateUnknown):
        factories.finish(operation, State(digest="0" * 64))
    assert reread(operation).status == "applying"


@pytest.mark.parametrize("seq", [0, -1, 2**63, True])
def test_finish_seq_that_is_none_is_invalid(seq: int) -> None:
    operation = factories.applying()
    with pytest.raises(exceptions.Invalid):
        sync_coordinator.finish(
            operation_id=operation.pk,
            endpoint=operation.endpoint,
            lease_token=operation.lease_token or uuid.uuid4(),
            outcome="succeeded",
            seq=seq,
            state=operation.target_state_id,
        )
    assert reread(operation).status == "applying"


def test_finish_texts_that_no_database_takes_are_mended() -> None:
    operation = factories.applying()
    done = sync_coordinator.finish(
        operation_id=operation.pk,
        endpoint=operation.endpoint,
        lease_token=operation.lease_token or uuid.uuid4(),
        outcome="succeeded",
        seq=99,
        state=operation.target_state_id,
        message="a\0b\ud800",
        log_tail="x" * 20_000 + "\0end",
    )
    assert done.result["message"] == "a�b�"
    assert len(done.result["log_tail"]) == 16_000 and done.result["log_tail"].endswith("x�end")


def test_finish_after_a_newer_report_is_judged_but_not_recorded_over_it() -> None:
    operation = factories.applying()
    newer = factories.state("app 3.0-1")
    factories.report(operation.endpoint, newer, seq=50)
    done = sync_coordinator.finish(
        operation_id=operation.pk,
        endpoint=operation.endpoint,
        lease_token=operation.lease_token or uuid.uuid4(),
        outcome="succeeded",
        seq=40,
        state=operation.target_state_id,
    )
    operation.endpoint.refresh_from_db()
    assert done.status == "succeeded" and operation.endpoint.state == newer


def test_cancel_queued_is_cancelled_and_a_repeat_too() -> None:
    operation = factories.queued()
    for _ in range(2):
        assert sync_coordinator.cancel(operation=operation, actor="anna").status == "cancelled"
    assert AuditEvent.objects.filter(verb="cancelled", actor="anna").count() == 1


def test_cancel_leased_is_cancelled_and_its_agent_is_fenced() -> None:
    operation = factories.leased()
    token = operation.lease_token
    assert token is not None
    assert sync_coordinator.cancel(operation=operation, actor="anna").status == "cancelled"
    asked = {"operation_id": operation.pk, "endpoint": operation.endpoint, "lease_token": token}
    for phase in ("leased", "applying"):
        with pytest.raises(exceptions.LeaseLost):
            sync_coordinator.heartbeat(**asked, phase=phase)
    with pytest.raises(exceptions.NotClaimable):
        sync_coordinator.claim(**asked, state=operation.base_state_id)
    operation = reread(operation)
    assert (operation.status, operation.result["code"]) == ("cancelled", "cancelled")


def test_cancel_applying_is_refused() -> None:
    operation = factories.applying()
    with pytest.raises(exceptions.NotCancellable):
        sync_coordinator.cancel(operation=operation, actor="anna")
    assert reread(operation).status == "applying"


def test_cancel_in_a_race_with_the_start_of_pacman_has_one_winner(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent says that it starts pacman between the two statements of `cancel`."""
    operation = factories.leased()
    end = transitions.end

    def late(found: Any, **fields: Any) -> bool:
        if reread(operation).status == "leased":
            sync_coordinator.heartbeat(
                operation_id=operation.pk,
                endpoint=operation.endpoint,
                lease_token=operation.lease_token,
                phase="applying",
            )
        return end(found, **fields)

    monkeypatch.setattr(transitions, "end", late)
    with pytest.raises(exceptions.NotCancellable):
        sync_coordinator.cancel(operation=operation, actor="anna")
    assert reread(operation).status == "applying"


def test_cancel_of_a_lease_that_runs_out_meanwhile_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    operation = factories.leased()
    end = transitions.end

    def late(found: Any, **fields: Any) -> bool:
        monkeypatch.setattr(transitions, "end", end)
        expire(operation)
        leases.expire_leases()
        return end(found, **fields)

    monkeypatch.setattr(transitions, "end", late)
    assert sync_coordinator.cancel(operation=operation, actor="anna").status == "cancelled"
