"""The timeline of an endpoint, and the times when it was offline."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import connection
from django.db.models.functions import Now

from apps.fleet import endpoint_manager, endpoint_presence, pool_manager, sync_coordinator, timeline
from apps.fleet.models import Endpoint, EndpointState, OfflinePeriod
from apps.fleet.timeline import TimelineKind
from tests import factories

pytestmark = pytest.mark.django_db


def kinds(endpoint: Endpoint, since: datetime | None = None) -> list[str]:
    return [event.kind.value for event in timeline.of(Endpoint.objects.get(pk=endpoint.pk), since)]


def silent(endpoint: Endpoint, polls: float) -> None:
    """Let it have been heard of that many poll intervals ago."""
    seconds = polls * settings.POLL_SECONDS
    Endpoint.objects.filter(pk=endpoint.pk).update(last_seen=Now() - timedelta(seconds=seconds))


def test_timeline_has_all_that_happened_newest_first() -> None:
    box = factories.reporting_endpoint("box", pool=factories.pool("lab"), state=factories.state("app 1-1"))
    assert box.pool
    factories.target(box.pool, "app 2-1")
    endpoint_manager.change_rights(endpoint=box, may_set_targets=True, actor="user:ada")
    box.refresh_from_db()
    factories.synced(box)
    events = timeline.of(Endpoint.objects.get(pk=box.pk))
    assert [event.at for event in events] == sorted((event.at for event in events), reverse=True)
    assert sorted(event.kind for event in events) == ["audit", "finished", "operation", "state", "state", "target"]
    newest = next(event for event in events if event.kind == TimelineKind.STATE)
    assert newest.before == events[-1].what.state_id and events[-1].before is None
    assert newest.what.cause == EndpointState.Cause.OPERATION


def test_timeline_since_leaves_out_what_was_before_but_knows_the_state_before() -> None:
    box = factories.reporting_endpoint("box", state=factories.state("app 1-1"))
    box.history.update(at=Now() - timedelta(days=9))
    factories.report(box, factories.state("app 2-1"))
    (event,) = timeline.of(box, datetime.now(UTC) - timedelta(days=1))
    assert event.before == box.history.order_by("seq").first().state_id  # type: ignore[union-attr]
    assert kinds(box, datetime.now(UTC) + timedelta(days=1)) == []


def test_timeline_targets_only_of_its_pool_and_since_it_is_in_it() -> None:
    old, new = factories.pool("old"), factories.pool("new")
    factories.target(new, "app 1-1")
    box = factories.endpoint("box", pool=old)
    factories.target(old, "app 1-1")
    endpoint_manager.assign(endpoint=box, pool=new, actor="user:ada")
    factories.target(new, "app 2-1")
    events = timeline.of(Endpoint.objects.get(pk=box.pk))
    assert [(event.kind, str(event.what)) for event in events if event.kind == TimelineKind.TARGET] == [
        ("target", "new #2")
    ]
    assert [event.what.verb for event in events if event.kind == TimelineKind.AUDIT] == ["assign"]


def test_timeline_of_a_name_that_another_endpoint_had_knows_nothing_of_that() -> None:
    first = factories.endpoint("box")
    endpoint_manager.assign(endpoint=first, pool=factories.pool("lab"), actor="user:ada")
    endpoint_manager.delete_endpoint(endpoint=first, actor="user:ada")
    assert kinds(factories.endpoint("box")) == []


def test_changes_between_only_the_differing_packages() -> None:
    one, two = factories.state("app 1-1", "same 1-1"), factories.state("app 2-1", "same 1-1", "new 1-1")
    found = timeline.changes_between([(one.pk, two.pk), (two.pk, one.pk), (one.pk, "0" * 64)])
    assert [(change.name, change.kind) for change in found[one.pk, two.pk]] == [("app", "upgrade"), ("new", "install")]
    assert [change.kind for change in found[two.pk, one.pk]] == ["downgrade", "remove"]
    assert len(found) == 2


def test_presence_back_after_silence_is_a_period_and_the_timeline_has_both_ends() -> None:
    box = factories.reporting_endpoint("box", state=factories.state())
    silent(box, 10)
    assert kinds(box)[-1] == "offline" or "offline" in kinds(box)
    factories.report(box, factories.state())
    period = OfflinePeriod.objects.get()
    assert period.until - period.since > timedelta(seconds=9 * settings.POLL_SECONDS)
    assert {"offline", "back"} <= set(kinds(box))
    factories.report(box, factories.state())
    assert OfflinePeriod.objects.count() == 1


@pytest.mark.parametrize("polls", [0, 1, 2.5])
def test_presence_silence_that_is_not_offline_is_no_period(polls: float) -> None:
    box = factories.reporting_endpoint("box", state=factories.state())
    silent(box, polls)
    factories.report(box, factories.state())
    assert not OfflinePeriod.objects.exists()


def test_presence_first_report_is_no_return_and_a_known_period_is_not_written_again() -> None:
    box = factories.endpoint("box")
    factories.report(box, factories.state())
    assert not OfflinePeriod.objects.exists()
    silent(box, 10)
    box.refresh_from_db()
    endpoint_presence.notice_return(box)
    endpoint_presence.notice_return(box)  # another request of the same moment, which read the same row
    assert OfflinePeriod.objects.count() == 1


def test_presence_costs_an_endpoint_that_is_there_no_statement(django_assert_num_queries: Any) -> None:
    box = factories.reporting_endpoint("box", state=factories.state())
    with django_assert_num_queries(0):
        endpoint_presence.notice_return(box)


def test_presence_periods_beyond_the_newest_go_and_those_of_forgotten_endpoints(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(endpoint_presence, "KEPT", 3)
    box = factories.endpoint("box")
    day = datetime(2026, 1, 1, tzinfo=UTC)
    OfflinePeriod.objects.bulk_create(
        OfflinePeriod(endpoint=box, since=day + timedelta(days=number), until=day + timedelta(days=number, hours=1))
        for number in range(5)
    )
    OfflinePeriod.objects.create(endpoint_id=box.pk + 1000, since=day)  # an older instance deleted its endpoint
    assert endpoint_presence.trim() == 3
    assert sorted(period.since.day for period in OfflinePeriod.objects.all()) == [3, 4, 5]
    endpoint_manager.delete_endpoint(endpoint=box, actor="test")
    assert not OfflinePeriod.objects.exists()


def test_presence_an_older_instance_can_delete_an_endpoint_that_was_offline() -> None:
    """It doesn't know the table: the database must not stop it."""
    box = factories.endpoint("box")
    OfflinePeriod.objects.create(endpoint=box, since=datetime(2026, 1, 1, tzinfo=UTC))
    Endpoint.objects.filter(pk=box.pk)._raw_delete("default")
    connection.check_constraints()
    assert endpoint_presence.trim() == 1


@pytest.mark.parametrize("sign", ["claim", "heartbeat", "result"])
def test_presence_a_machine_that_is_heard_of_at_work_is_back(sign: str) -> None:
    operation = factories.leased() if sign != "claim" else factories.queued()
    box, token = operation.endpoint, operation.lease_token or uuid4()
    silent(box, 10)
    box.refresh_from_db()
    if sign == "claim":
        sync_coordinator.claim(
            operation_id=operation.pk, endpoint=box, lease_token=token, state=str(operation.base_state_id)
        )
    elif sign == "heartbeat":
        sync_coordinator.heartbeat(operation_id=operation.pk, endpoint=box, lease_token=token, phase="leased")
    else:
        sync_coordinator.finish(
            operation_id=operation.pk,
            endpoint=box,
            lease_token=token,
            outcome="failed",
            seq=99,
            state=str(operation.base_state_id),
        )
    assert OfflinePeriod.objects.get().endpoint_id == box.pk
    assert "back" in kinds(box)


def test_targets_of_a_pool_it_left_are_not_told() -> None:
    pool = factories.pool("lab")
    box = factories.endpoint("box", pool=pool)
    factories.target(pool, "app 1-1")
    pool_manager.go_back(pool=pool, number=1, actor="test")
    assert kinds(box).count("target") == 2
    endpoint_manager.assign(endpoint=box, pool=None, actor="user:ada")
    assert kinds(box) == ["audit"]
