"""What needs attention, and the pools in one line each: counted, grouped, and the worst first."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db.models import F

from apps.fleet import attention, clock, fleet_statuses, leases, pool_manager, status, sync_coordinator, tokens
from apps.fleet.attention import AttentionKind, Item, Severity, Survey
from apps.fleet.models import ApiToken, ChecksumConflict, Endpoint, Operation, Pool, Role
from apps.fleet.status import EndpointStatus
from tests import factories

pytestmark = pytest.mark.django_db


def items(**by: Any) -> list[Item]:
    """All items, or those with these values."""
    found = attention.needs_attention(None)
    return [item for item in found if all(getattr(item, field) == value for field, value in by.items())]


def failed(endpoint: Endpoint, message: str = "", code: str = "package_unavailable") -> Operation:
    """A sync of the endpoint that failed; it is where it was."""
    operation, _ = sync_coordinator.create_operation(endpoint=endpoint, kind="sync", actor="test")
    token = uuid.uuid4()
    factories.claim(operation, token)
    endpoint.refresh_from_db()
    return sync_coordinator.finish(
        operation_id=operation.pk,
        endpoint=endpoint,
        lease_token=token,
        outcome="failed",
        seq=endpoint.report_seq + 1,
        state=operation.base_state_id,
        code=code,
        message=message,
    )


@pytest.fixture
def lab() -> Pool:
    """Pool `lab`, whose target is `app 2-1`; the source of it is in sync."""
    made = factories.pool("lab")
    factories.target(made, "app 2-1", "lib 2-1")
    return made


def behind(pool: Pool, name: str = "box") -> Endpoint:
    return factories.reporting_endpoint(name, pool=pool, state=factories.state("app 1-1", "lib 2-1"))


def test_attention_all_well_nothing(lab: Pool) -> None:
    behind(lab)
    assert items() == []


def test_files_that_differ_need_attention_while_the_endpoint_says_so(lab: Pool) -> None:
    state = factories.state("app 2-1", "lib 2-1")
    for name in ("a", "b"):
        box = factories.reporting_endpoint(name, pool=lab, state=state)
        factories.report(box, state, examination=[factories.problem("files_differ", "/usr/bin/app")])
    (item,) = items()
    assert (item.kind, item.severity, item.object, item.count) == ("files_differ", "warn", "pool:lab", 2)
    assert item.cause == "a and 1 more have files that differ from their packages."
    for box in Endpoint.objects.filter(name__in="ab"):
        factories.report(box, state, examination=[])
    assert items() == []


def test_failed_sync_cause_is_the_first_line(lab: Pool) -> None:
    operation = failed(behind(lab), "No mirror has app 2-1.\nTried: https://a, https://b")
    (item,) = items()
    assert (item.kind, item.severity, item.object) == (AttentionKind.FAILED, Severity.BAD, "endpoint:box")
    assert (item.cause, item.since) == ("No mirror has app 2-1.", operation.finished)
    assert (item.pool, item.endpoint, item.operation, item.count) == ("lab", "box", operation.pk, 1)


def test_failed_sync_without_words_names_its_code(lab: Pool) -> None:
    failed(behind(lab))
    assert items()[0].cause == "package unavailable"


def test_failed_sync_that_was_repaired_by_hand_needs_no_attention(lab: Pool) -> None:
    box = behind(lab)
    failed(box)
    factories.report(box, factories.state("app 2-1", "lib 2-1"))
    assert items() == []


def test_failed_sync_with_a_newer_success_needs_no_attention(lab: Pool) -> None:
    box = behind(lab)
    failed(box)
    factories.synced(box)
    factories.report(box, factories.state("app 1-1", "lib 2-1"))
    assert items() == []


def test_several_failures_of_a_pool_are_one_item(lab: Pool) -> None:
    for name in ("a", "b", "c"):
        failed(behind(lab, name), f"cause on {name}")
    (item,) = items()
    assert (item.object, item.count, item.operation) == ("pool:lab", 3, None)
    assert item.cause == "3 operations failed, the newest on c: cause on c"


def test_lost_operation_is_said(lab: Pool) -> None:
    operation, _ = sync_coordinator.create_operation(endpoint=behind(lab), kind="sync", actor="test")
    Operation.objects.filter(pk=operation.pk).update(deadline=F("created"))
    assert leases.expire_leases() == 1
    (item,) = items()
    assert (item.kind, item.operation) == (AttentionKind.LOST, operation.pk)
    assert item.cause.startswith("No result came before the deadline")


def test_diverged_endpoint_says_how_and_since_when(lab: Pool) -> None:
    box = factories.reporting_endpoint("box", pool=lab, state=factories.state("app 1-1", "lib 3-1"))
    (item,) = items()
    assert (item.kind, item.object) == (AttentionKind.DIVERGED, "endpoint:box")
    assert item.cause == "Compared with target #1, 1 package is older and 1 newer."
    assert item.since == box.history.get().at


def test_diverged_since_the_target_is_what_it_diverges_from(lab: Pool) -> None:
    factories.reporting_endpoint("box", pool=lab, state=factories.state("app 1-1", "lib 3-1"))
    pool_manager.go_back(pool=lab, number=1, actor="test")
    lab.refresh_from_db()
    assert lab.target and items()[0].since == lab.target.created


def test_offline_endpoints_of_a_pool_are_one_item_since_the_longest(lab: Pool) -> None:
    for name in ("a", "b"):
        behind(lab, name)
    Endpoint.objects.filter(name="a").update(last_seen=F("last_seen") - timedelta(days=3))
    Endpoint.objects.filter(name="b").update(last_seen=F("last_seen") - timedelta(days=9))
    (item,) = items()
    assert (item.kind, item.severity, item.count, item.object) == (AttentionKind.OFFLINE, Severity.WARN, 2, "pool:lab")
    assert item.cause == "a and 1 more have not been heard from for three poll intervals."
    assert item.since == Endpoint.objects.get(name="b").last_seen


def test_never_seen_is_offline_since_its_enrolment() -> None:
    made = factories.endpoint("new")
    made.refresh_from_db()
    (item,) = items()
    assert (item.kind, item.object, item.pool) == (AttentionKind.OFFLINE, "endpoint:new", None)
    assert item.since == made.created


def test_resting_automatic_sync_is_said_unless_its_failure_is(lab: Pool) -> None:
    box = behind(lab)
    operation, _ = sync_coordinator.create_operation(endpoint=box, kind="sync", actor="test")
    sync_coordinator.cancel(operation=operation, actor="user:ada")
    assert items() == []  # the pool has no automatic sync that could rest
    pool_manager.change_pool(pool=lab, actor="test", auto_sync=True)
    (item,) = items()
    assert (item.kind, item.object) == (AttentionKind.RESTING, "endpoint:box")
    assert "The last operation to this target was cancelled, so automatic sync rests for box." in item.cause
    failed(box)
    assert [item.kind for item in items()] == [AttentionKind.FAILED]


def test_pool_alarms_and_checksums_come_first(lab: Pool) -> None:
    failed(behind(lab))
    Endpoint.objects.exclude(name="box").update(token_hash=None)
    files = [{"sha256": "a", "revisions": ["lab #1"]}, {"sha256": "b", "revisions": []}]
    ChecksumConflict.objects.create(name="app", version="2-1", arch="x86_64", files=files)
    files = [{"sha256": "a", "revisions": ["lab #7"]}]
    ChecksumConflict.objects.create(name="old", version="2-1", arch="x86_64", files=files)
    found = items()
    assert [item.kind for item in found] == [
        AttentionKind.REVOKED_SOURCE,
        AttentionKind.CHECKSUMS,
        AttentionKind.FAILED,
    ]
    assert found[1].cause == "The fleet has more than one file for app 2-1, which target lab #1 holds."


def test_unknown_status_needs_attention_only_where_something_is_wrong(lab: Pool) -> None:
    factories.reporting_endpoint("stray", state=factories.state())
    arm = factories.endpoint("arm", pool=lab, arch="aarch64")
    factories.report(arm, factories.state("app 2-1 aarch64"))
    blind = factories.endpoint("blind", pool=lab)
    factories.report(blind, factories.state("app 1-1"), examination=[factories.problem("database_unreadable", "core")])
    assert {(item.kind, item.object) for item in items()} == {
        (AttentionKind.OTHER_ARCHITECTURE, "endpoint:arm"),
        (AttentionKind.DATABASES_UNREADABLE, "endpoint:blind"),
    }


def test_the_same_in_many_pools_is_one_item_of_the_fleet() -> None:
    for number in range(6):
        factories.endpoint(f"m{number}", pool=factories.pool(f"pool{number}"))
    (item,) = items()
    assert (item.object, item.count, item.pool, item.endpoint) == ("fleet", 6, None, None)
    assert item.cause == "6 endpoints in 6 pools have not been heard from for more than three poll intervals."


def test_the_same_in_many_pools_says_how_many_endpoints_it_is() -> None:
    for number in range(4):
        pool = factories.pool(f"pool{number}")
        factories.target(pool, "app 2-1", "lib 2-1")
        for which in range(number + 1):
            state = factories.state("app 1-1", "lib 3-1")
            factories.reporting_endpoint(f"odd{number}{which}", pool=pool, state=state)
    for number in range(2):
        factories.endpoint(f"gone{number}", pool=Pool.objects.get(name=f"pool{number}"))
    factories.endpoint("away", pool=Pool.objects.get(name="pool2"))
    factories.endpoint("loose")
    diverged, offline = items()
    assert (diverged.count, offline.count) == (10, 4)
    assert diverged.cause.startswith("10 endpoints in 4 pools have diverged from their pool's target:")
    assert offline.cause.startswith("4 endpoints in 3 pools and in no pool have not been heard from")


def test_failures_in_many_pools_say_how_many_and_one_cause() -> None:
    for number in range(4):
        pool = factories.pool(f"pool{number}")
        factories.target(pool, "app 2-1", "lib 2-1")
        failed(behind(pool, f"a{number}"), "no mirror")
    failed(behind(Pool.objects.get(name="pool2"), "b2"), "disk full")
    (item,) = items()
    assert (item.count, item.operation) == (5, None)
    assert item.cause == ("5 operations failed in 4 pools; in pool2: 2 operations failed, the newest on b2: disk full")


def test_limit_keeps_the_worst(lab: Pool) -> None:
    factories.endpoint("gone", pool=lab)
    failed(behind(lab))
    assert [item.kind for item in attention.needs_attention(1)] == [AttentionKind.FAILED]


def test_survey_counts_as_each_endpoint_is_judged(lab: Pool) -> None:
    """Grouped by the database, and one by one: the same."""
    behind(lab)
    behind(lab, "held")
    factories.report(Endpoint.objects.get(name="held"), factories.state("app 1-1", "lib 2-1"), holds=["app"])
    factories.reporting_endpoint("stray", state=factories.state())
    factories.endpoint("never", pool=lab)
    factories.reporting_endpoint("odd", pool=lab, state=factories.state("app 1-1", "lib 3-1"))
    one_by_one = status.of(Endpoint.objects.all())
    survey = Survey()
    assert (
        survey.counts
        == {name: list(one_by_one.values()).count(name) for name in EndpointStatus}
        == fleet_statuses.counts()
    )
    of_lab = [one_by_one[endpoint.pk] for endpoint in Endpoint.objects.filter(pool=lab)]
    assert survey.counts_of(lab.pk) == {name: of_lab.count(name) for name in EndpointStatus}
    assert survey.counts_of(None)[EndpointStatus.UNKNOWN] == 1


def test_pool_row_says_how_many_are_done(lab: Pool) -> None:
    factories.pool("empty")
    boxes = [behind(lab, name) for name in ("a", "b", "c", "d")]
    factories.synced(boxes[0])
    failed(boxes[1])
    sync_coordinator.create_operation(endpoint=boxes[2], kind="sync", actor="test")
    empty, row = attention.pools_overview()
    assert (empty.name, empty.endpoints, empty.target, empty.running) == ("empty", 0, None, None)
    assert row.running and (row.running.active, row.running.done, row.running.of) == (1, 2, 3)
    assert sum(row.running.phases.values()) == 1
    assert (row.name, row.endpoints, row.target, row.failed) == ("lab", 5, 1, 1)
    assert (row.counts[EndpointStatus.IN_SYNC], row.counts[EndpointStatus.BEHIND]) == (2, 3)
    assert lab.target and row.target_set == lab.target.created


def test_tokens_that_expire_soon_or_just_did_need_attention(lab: Pool) -> None:
    ann = factories.account("ann", Role.VIEWER)
    for name, days, owner in (("ci", 90, ann), ("backup", 90, None), ("week", 7, None), ("kept", None, None)):
        tokens.create_api_token(name=name, role="viewer", actor="test", owner=owner, days=days)
    assert not items()
    ci, backup = (ApiToken.objects.filter(name=name) for name in ("ci", "backup"))
    ApiToken.objects.exclude(name="week").update(created=clock.moved(-timedelta(days=80)))
    ci.update(expires=datetime(2026, 1, 15, 10, 30, tzinfo=UTC))
    assert not items()  # long ago
    ci.update(expires=clock.moved(timedelta(days=13)))
    (item,) = items()
    assert (item.kind, item.severity, item.object, item.count) == ("tokens_expire", "warn", "token:ci", 1)
    assert item.cause.startswith("The API token ci of ann expires at ")
    assert item.cause.endswith(" UTC. Make a new one, use it instead, and revoke this one.")
    backup.update(expires=clock.moved(-timedelta(hours=1)))
    (item,) = items()
    assert (item.object, item.count) == ("fleet", 2)
    assert item.cause.startswith("2 API tokens expire within 14 days or have just expired: backup, ci. Make new ones")
    ci.update(revoked=clock.moved(timedelta()))
    (item,) = items()
    assert item.cause.startswith("The API token backup expired at ")


@pytest.mark.parametrize("pools", [2, 8])
def test_queries_do_not_grow_with_the_fleet(pools: int, django_assert_max_num_queries: Any) -> None:
    for number in range(pools):
        pool = factories.pool(f"pool{number}")
        factories.target(pool, "app 2-1", "lib 2-1")
        failed(behind(pool, f"failed{number}"))
        factories.reporting_endpoint(f"odd{number}", pool=pool, state=factories.state(f"app 1-{number + 1}", "lib 3-1"))
        factories.endpoint(f"gone{number}", pool=pool)
    Pool.objects.update(auto_sync=True)
    survey = Survey()
    status.forget()
    with django_assert_max_num_queries(32):
        assert {item.kind for item in attention.needs_attention(survey=survey)} == {
            AttentionKind.FAILED,
            AttentionKind.DIVERGED,
            AttentionKind.OFFLINE,
        }
        assert len(attention.pools_overview(survey=survey)) == pools


def test_silent_endpoints_of_a_pool_are_one_group_whatever_their_states(lab: Pool) -> None:
    for number in range(5):
        state = factories.state(f"app 1-{number + 1}", "lib 2-1")
        factories.reporting_endpoint(f"quiet{number}", pool=lab, state=state)
    assert len(Survey().groups) == 6
    Endpoint.objects.filter(name__startswith="quiet").update(last_seen=F("last_seen") - timedelta(days=3))
    silent, _ = sorted(Survey().groups, key=lambda group: group.status != EndpointStatus.OFFLINE)
    assert (silent.count, silent.first, silent.pool) == (5, "quiet0", lab.pk)
