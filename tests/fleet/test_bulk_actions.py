"""One action for many endpoints: all that can be done is done, and each of the others says why not."""

from typing import Any

import pytest

from apps.fleet import bulk_actions
from apps.fleet.bulk_actions import Action, BatchItem
from apps.fleet.exceptions import Invalid, NotFound
from apps.fleet.models import AuditEvent, Endpoint, Operation, Pool
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def lab() -> Pool:
    """Target `app 2-1`: `good` has it, `idle` is behind, `waits` has a queued sync, `works` an applying one."""
    pool = factories.pool("lab")
    source = factories.reporting_endpoint("good", pool=pool, state=factories.state("app 2-1"))
    factories.pool_manager.set_target(pool=pool, endpoint=source, actor="test")
    made = {
        name: factories.reporting_endpoint(name, pool=pool, state=factories.state(f"app 1-1.{number}"))
        for number, name in enumerate(("idle", "waits", "works"))
    }
    for name in ("waits", "works"):
        bulk_actions.carry_out(Action.SYNC, [name], actor="test")
    factories.applying(Operation.objects.get(endpoint=made["works"]))
    return pool


NAMES = ["idle", "works", "waits", "good", "none"]


def codes(cases: list[BatchItem]) -> dict[str, str]:
    return {case.endpoint: case.code for case in cases}


EXPECTED = {
    Action.MOVE: {
        "idle": "",
        "works": "operation_active",
        "waits": "operation_active",
        "good": "",
        "none": "not_found",
    },
    Action.FORGET: {"idle": "", "works": "operation_active", "waits": "", "good": "", "none": "not_found"},
    Action.CANCEL: {
        "idle": "nothing_to_cancel",
        "works": "not_cancellable",
        "waits": "",
        "good": "nothing_to_cancel",
        "none": "not_found",
    },
    Action.SYNC: {
        "idle": "",
        "works": "operation_active",
        "waits": "operation_active",
        "good": "already_in_sync",
        "none": "not_found",
    },
}


@pytest.mark.parametrize("action", list(Action))
def test_what_is_foretold_is_what_is_done_and_nothing_else(lab: Pool, action: Action) -> None:
    attic = factories.pool("attic") if action == Action.MOVE else None
    events = AuditEvent.objects.count()
    foretold = bulk_actions.preview(action, NAMES, pool=attic)
    assert AuditEvent.objects.count() == events  # reads only
    assert codes(foretold) == EXPECTED[action]
    done = bulk_actions.carry_out(action, NAMES, actor="user:ada", pool=attic)
    assert [case.endpoint for case in done] == NAMES and codes(done) == EXPECTED[action]
    assert all(case.detail for case in done if case.code)
    assert AuditEvent.objects.filter(actor="user:ada").count() == sum(not code for code in EXPECTED[action].values())
    assert (
        bulk_actions.preview(action, NAMES[:1], pool=attic)[0].code != "" or action == Action.CANCEL
    )  # done: not again


def test_move_changes_the_pool_and_says_from_where(lab: Pool) -> None:
    attic = factories.pool("attic")
    bulk_actions.carry_out(Action.MOVE, ["idle", "good"], actor="user:ada", pool=attic)
    assert set(attic.endpoints.values_list("name", "pool_changed")) == {("idle", True), ("good", True)}
    event = AuditEvent.objects.get(verb="assign", object="endpoint:idle")
    assert (event.before, event.after) == ({"pool": "lab"}, {"pool": "attic"})
    assert codes(bulk_actions.carry_out(Action.MOVE, ["idle"], actor="user:ada", pool=attic)) == {"idle": "unchanged"}
    bulk_actions.carry_out(Action.MOVE, ["idle"], actor="user:ada")
    idle = Endpoint.objects.get(name="idle")
    assert (idle.pool, idle.pool_changed) == (None, False)


def test_forget_takes_operations_and_history_along(lab: Pool) -> None:
    bulk_actions.carry_out(Action.FORGET, ["waits", "idle"], actor="user:ada")
    assert set(Endpoint.objects.values_list("name", flat=True)) == {"good", "works"}
    assert Operation.objects.count() == 1


def test_cancel_and_sync_name_their_operation(lab: Pool) -> None:
    (cancelled,) = bulk_actions.carry_out(Action.CANCEL, ["waits"], actor="user:ada")
    (synced,) = bulk_actions.carry_out(Action.SYNC, ["waits"], actor="user:ada")
    statuses = dict(Operation.objects.values_list("pk", "status"))
    assert (statuses[cancelled.operation], statuses[synced.operation]) == ("cancelled", "queued")  # type: ignore[index]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"pool": None}, "no_pool"),
        ({"state": None}, "state_unknown"),
        ({"arch": "aarch64"}, "conflict"),
        ({"examination": [factories.problem("database_unreadable", "core")]}, "databases_unreadable"),
    ],
)
def test_sync_that_is_impossible_says_why_before_and_after(lab: Pool, change: dict[str, Any], code: str) -> None:
    Endpoint.objects.filter(name="idle").update(**change)
    assert codes(bulk_actions.preview(Action.SYNC, ["idle"])) == {"idle": code}
    assert codes(bulk_actions.carry_out(Action.SYNC, ["idle"], actor="test")) == {"idle": code}


def test_move_to_a_pool_that_was_deleted_moves_nobody(lab: Pool) -> None:
    attic = factories.pool("attic")
    Pool.objects.filter(pk=attic.pk).delete()
    with pytest.raises(NotFound):
        bulk_actions.carry_out(Action.MOVE, ["idle", "good"], actor="test", pool=attic)
    assert lab.endpoints.count() == 4


def test_failure_half_way_leaves_nothing_half_done(lab: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    attic, record = factories.pool("attic"), bulk_actions.audit.record
    calls = []

    def failing(**event: Any) -> None:
        calls.append(event)
        if len(calls) == 2:
            raise RuntimeError
        record(**event)

    monkeypatch.setattr(bulk_actions.audit, "record", failing)
    events = AuditEvent.objects.count()
    with pytest.raises(RuntimeError):
        bulk_actions.carry_out(Action.MOVE, ["idle", "good"], actor="test", pool=attic)
    assert (attic.endpoints.count(), AuditEvent.objects.count()) == (0, events)


@pytest.mark.parametrize(
    "names", [["idle", "idle"], [f"m{number}" for number in range(bulk_actions.MAX_ENDPOINTS + 1)]]
)
def test_too_many_or_twice_the_same_is_refused(lab: Pool, names: list[str]) -> None:
    with pytest.raises(Invalid):
        bulk_actions.carry_out(Action.FORGET, names, actor="test")
    assert Endpoint.objects.count() == 4


def test_time_that_is_used_up_ends_a_batch_with_a_clear_count(lab: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    spent = iter([0.0, 0.0, 0.9])
    monkeypatch.setattr(bulk_actions.batches.time_limit, "spent", lambda: next(spent))
    done = bulk_actions.carry_out(Action.CANCEL, ["waits", "works"], actor="test")
    assert codes(done) == {"waits": "", "works": "not_reached"}


def test_text_that_no_database_takes_is_no_endpoint(lab: Pool) -> None:
    names = ["\ud800", "a\0b", "idle"]
    for cases in (bulk_actions.preview(Action.MOVE, names), bulk_actions.carry_out(Action.MOVE, names, actor="test")):
        assert codes(cases) == {"\ud800": "not_found", "a\0b": "not_found", "idle": ""}
