"""Syncs and reverts by staff, of one machine and of a whole pool."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from django.test import Client

from apps.fleet import batches, pool_manager, sync_coordinator
from apps.fleet.models import Endpoint, Operation, Pool
from tests import factories
from tests.dashboard.confirming import confirm, fields, seen, sync
from tests.dashboard.messages import said

SHOWN = {"idempotency_key": str(uuid.uuid4()), "shown": "1"}


def test_sync_endpoint_makes_one_operation_however_often_clicked(staff: Client, pool: Pool) -> None:
    form = fields(staff.get("/endpoints/box"), "/endpoints/box/sync")
    answers = [staff.post("/endpoints/box/sync", form) for _ in range(2)]
    operation = Operation.objects.get()
    assert [answer["Location"] for answer in answers] == [f"/operations/{operation.pk}"] * 2
    assert (operation.kind, operation.author) == ("sync", "user:ada")


def test_sync_endpoint_already_under_way_is_refused(staff: Client, pool: Pool) -> None:
    form = fields(staff.get("/endpoints/box"), "/endpoints/box/sync")
    staff.post("/endpoints/box/sync", form)
    answer = staff.post("/endpoints/box/sync", form | {"idempotency_key": str(uuid.uuid4())})
    assert answer["Location"] == "/endpoints/box"
    assert said(answer)
    assert Operation.objects.count() == 1


def test_endpoint_page_sync_offered_only_where_it_changes_something(staff: Client, pool: Pool) -> None:
    assert staff.get("/endpoints/box").context["can_sync"]
    factories.reporting_endpoint("good", pool=pool, state=factories.state("app 2-1"))
    assert not staff.get("/endpoints/good").context["can_sync"]
    sync(staff, "box")
    assert not staff.get("/endpoints/box").context["can_sync"]


def test_revert_nothing_to_take_back_is_refused(staff: Client, pool: Pool) -> None:
    for answer in (staff.get("/endpoints/box/revert"), staff.post("/endpoints/box/revert", SHOWN)):
        assert answer["Location"] == "/endpoints/box"
        assert "no sync to revert" in said(answer)


def test_revert_after_a_sync_shows_what_and_does_it(staff: Client, pool: Pool) -> None:
    synced = factories.synced(Endpoint.objects.get(name="box"))
    page = staff.get("/endpoints/box/revert")
    assert page.status_code == 200
    assert [change.kind for change in page.context["difference"]["changes"]] == ["downgrade"]
    confirm(staff, "/endpoints/box/revert")
    assert Operation.objects.get(kind="revert").reverts == synced


def test_sync_of_another_target_than_was_shown_asks_again(staff: Client, pool: Pool) -> None:
    form = fields(staff.get("/endpoints/box"), "/endpoints/box/sync")
    factories.target(pool, "app 3-1")
    answer = staff.post("/endpoints/box/sync", form)
    assert answer["Location"] == "/endpoints/box"
    assert "The target is now #2 of lab, not the one that was shown." in said(answer)
    for incomplete in ({}, {"idempotency_key": form["idempotency_key"]}, {"shown": form["shown"]}):
        assert "The form was incomplete, so nothing was done." in said(staff.post("/endpoints/box/sync", incomplete))
    assert not Operation.objects.exists()
    sync(staff, "box")
    assert Operation.objects.select_related("revision").get().revision.number == 2  # type: ignore[union-attr] # a sync has one


def test_revert_of_another_sync_than_was_shown_asks_again(staff: Client, pool: Pool) -> None:
    path = "/endpoints/box/revert"
    factories.synced(Endpoint.objects.get(name="box"))
    Operation.objects.update(created=Now() - timedelta(hours=1), finished=Now() - timedelta(hours=1))
    form = seen(staff, path)
    factories.target(pool, "app 3-1")
    newest = factories.synced(Endpoint.objects.get(name="box"))
    answer = staff.post(path, form)
    assert answer["Location"] == path and "The sync that would be reverted is now a different one" in said(answer)
    assert "The form was incomplete, so nothing was done." in said(staff.post(path, {}))
    assert not Operation.objects.filter(kind="revert").exists()
    confirm(staff, path)
    assert Operation.objects.get(kind="revert").reverts == newest


@pytest.mark.parametrize("number", [None, "", "abc", "-1", "9" * 5000, "0"])
def test_sync_all_without_the_number_that_was_shown_asks_again(staff: Client, pool: Pool, number: str | None) -> None:
    answer = staff.post("/pools/lab/sync", {} if number is None else {"expected_number": number})
    assert answer["Location"] == "/pools/lab/sync" and said(answer)
    assert not Operation.objects.exists()


def changes_the_target(monkeypatch: pytest.MonkeyPatch, pool: Pool) -> None:
    """Before the second operation of a batch, somebody else goes back to #1."""
    create, calls = sync_coordinator.create_operation, []

    def meanwhile(**arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 2:
            pool_manager.go_back(pool=pool, number=1, actor="user:bob")
        return create(**arguments)

    monkeypatch.setattr(sync_coordinator, "create_operation", meanwhile)


def test_sync_all_whose_target_changes_meanwhile_stops_and_asks_again(
    staff: Client, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    factories.target(pool, "app 3-1")
    for number in range(2):
        factories.reporting_endpoint(f"more{number}", pool=pool, state=factories.state(f"app 1-{number}"))
    form = seen(staff, "/pools/lab/sync")
    changes_the_target(monkeypatch, pool)
    answer = staff.post("/pools/lab/sync", form)
    assert answer["Location"] == "/pools/lab/sync"
    assert "1 operation created" in said(answer)
    assert "3 not queued: The target is now #3 of lab, not the one that was shown." in said(answer)
    assert set(Operation.objects.values_list("revision__number", flat=True)) == {2}


def test_sync_all_without_time_left_counts_the_rest_as_waiting(
    staff: Client, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    factories.reporting_endpoint("box2", pool=pool, state=factories.state("app 1-2"))
    form = seen(staff, "/pools/lab/sync")
    spent = iter([0.4, 0.4, 0.8])
    monkeypatch.setattr(batches.time_limit, "spent", lambda: next(spent, 0.8))
    answer = staff.post("/pools/lab/sync", form)
    assert "1 operation created" in said(answer) and "1 more are waiting: press Sync all again." in said(answer)
    assert "not queued" not in said(answer) and Operation.objects.count() == 1


def test_sync_all_queues_each_that_is_not_in_sync(staff: Client, pool: Pool) -> None:
    factories.reporting_endpoint("box2", pool=pool, state=factories.state("app 3-1"))
    page = staff.get("/pools/lab/sync")
    assert page.context["counts"] == {"behind": 1, "ahead": 1}
    said_then = said(confirm(staff, "/pools/lab/sync"))
    assert "2 operations created, 1 already in sync. Machines start at their next check-in." in said_then
    assert sorted(Operation.objects.values_list("endpoint__name", flat=True)) == ["box", "box2"]
    again = said(staff.get("/pools/lab/sync"))
    assert "There is nothing to sync: 1 already in sync, 2 have an operation under way." in again


def test_sync_all_offline_counts_by_its_packages(staff: Client, pool: Pool) -> None:
    factories.reporting_endpoint("there", pool=pool, state=factories.state("app 2-1"))
    Endpoint.objects.update(last_seen=Now() - timedelta(days=1))
    assert staff.get("/pools/lab/sync").context["counts"] == {"behind": 1}
    assert "1 operation created, 2 already in sync." in said(confirm(staff, "/pools/lab/sync"))
    assert list(Operation.objects.values_list("endpoint__name", flat=True)) == ["box"]


def test_sync_all_one_refused_says_so_and_does_the_rest(staff: Client, pool: Pool) -> None:
    factories.endpoint("silent", pool=pool)
    answer = confirm(staff, "/pools/lab/sync")
    assert "1 operation created" in said(answer)
    assert "1 not queued: It has not reported its packages yet." in said(answer)


def test_sync_all_no_target_has_nothing_to_do(staff: Client) -> None:
    factories.reporting_endpoint("box", pool=factories.pool("lab"), state=factories.state())
    answer = staff.get("/pools/lab/sync")
    assert answer["Location"] == "/pools/lab"
    assert "no target" in said(answer)
