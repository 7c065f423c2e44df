"""Targets, states, enrolments and reports of many at once, with a connection each: one wins, nothing is half done."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction

from apps.fleet import content_lock, endpoint_manager, pool_manager, retention, states
from apps.fleet.alpm import state as state_text
from apps.fleet.models import (
    AuditEvent,
    Endpoint,
    EndpointState,
    EnrolmentCode,
    Operation,
    PackageVersion,
    State,
    TargetRevision,
)
from tests import factories
from tests.support.race import MANY, kinds, race

pytestmark = pytest.mark.django_db(transaction=True)


def test_target_many_at_once_with_the_same_expectation_one_wins() -> None:
    endpoint = factories.reporting_endpoint(pool=factories.pool(), state=factories.state())
    pool = endpoint.pool
    assert pool
    results = race(
        MANY,
        lambda number: pool_manager.set_target(pool=pool, endpoint=endpoint, actor=f"a{number}", expected_number=0)[0],
    )
    assert kinds(results) == {"TargetRevision": 1, "TargetChanged": MANY - 1}


def test_target_many_at_once_without_expectation_numbers_have_no_gap() -> None:
    endpoint = factories.reporting_endpoint(pool=factories.pool(), state=factories.state())
    pool = endpoint.pool
    assert pool
    race(MANY, lambda number: pool_manager.set_target(pool=pool, endpoint=endpoint, actor=f"a{number}", force=True))
    assert sorted(TargetRevision.objects.values_list("number", flat=True)) == list(range(1, MANY + 1))
    pool.refresh_from_db()
    assert pool.target and pool.target.number == MANY


def test_promote_crosswise_at_once_does_not_deadlock() -> None:
    one, two = factories.pool(), factories.pool()
    factories.target(one, "app 1.0-1")
    factories.target(two, "app 2.0-1")
    results = race(
        10,
        lambda number: pool_manager.promote(
            pool=one if number % 2 else two, source=two if number % 2 else one, actor="test"
        ),
    )
    assert kinds(results) == {"TargetRevision": 10}


def test_store_state_many_at_once_is_one_row() -> None:
    texts = factories.packages(*(f"package{number} 1-1" for number in range(300)))
    text = state_text.to_text(texts)
    digest = state_text.digest_of(text)
    results = race(12, lambda _: endpoint_manager.store_state(digest=digest, text=text))
    assert kinds(results) == {"tuple": 12} and [new for _, new in results].count(True) == 1
    assert (State.objects.count(), PackageVersion.objects.count()) == (1, 300)
    assert states.load(State.objects.get()) == sorted(texts)


def test_store_state_overlapping_ones_at_once_in_any_order_do_not_deadlock() -> None:
    def store(number: int) -> list[str]:
        lines = [f"package{index:04} 1-1" for index in range(3000)] + [f"own{number} 1-1"]
        wanted = factories.packages(*(reversed(lines) if number % 2 else lines))
        with transaction.atomic():
            return [package.name for package in states.load(states.save(wanted)[0])]

    results = race(12, store)
    assert kinds(results) == {"list": 12} and {len(result) for result in results} == {3001}
    assert PackageVersion.objects.count() == 3012


def test_enroll_many_at_once_with_a_code_of_one_use_one_gets_in() -> None:
    _, code = endpoint_manager.create_enrolment_code(actor="test")
    results = race(MANY, lambda number: endpoint_manager.enroll(code=code, name=f"m{number}", arch="x86_64"))
    assert kinds(results) == {"tuple": 1, "EnrolmentCodeInvalid": MANY - 1}
    assert Endpoint.objects.count() == EnrolmentCode.objects.get().used == 1


def test_enroll_many_at_once_under_one_name_one_gets_in_and_one_use_is_gone() -> None:
    _, code = endpoint_manager.create_enrolment_code(actor="test", uses=100)
    results = race(MANY, lambda _: endpoint_manager.enroll(code=code, name="m1", arch="x86_64"))
    assert kinds(results) == {"tuple": 1, "NameTaken": MANY - 1}
    assert Endpoint.objects.count() == EnrolmentCode.objects.get().used == 1


def test_enroll_while_its_pool_is_deleted_one_of_both_is_refused() -> None:
    for _ in range(5):
        pool = factories.pool()
        _, code = endpoint_manager.create_enrolment_code(actor="test", pool=pool)

        def act(number: int, pool: Any = pool, code: str = code) -> Any:
            if number:
                return pool_manager.delete_pool(pool=pool, actor="test")
            return endpoint_manager.enroll(code=code, name=pool.name, arch="x86_64")

        assert kinds(race(2, act)) in (
            {"tuple": 1, "PoolNotEmpty": 1},
            {"EnrolmentCodeInvalid": 1, "NoneType": 1},
        )


def test_assign_while_the_pool_is_deleted_one_of_both_is_refused() -> None:
    for _ in range(5):
        pool, endpoint = factories.pool(), factories.endpoint()

        def act(number: int, pool: Any = pool, endpoint: Endpoint = endpoint) -> Any:
            if number:
                return pool_manager.delete_pool(pool=pool, actor="test")
            return endpoint_manager.assign(endpoint=endpoint, pool=pool, actor="test")

        assert kinds(race(2, act)) in ({"Endpoint": 1, "PoolNotEmpty": 1}, {"NotFound": 1, "NoneType": 1})


def test_check_in_many_at_once_the_highest_number_stays() -> None:
    endpoint = factories.endpoint()
    wanted = [factories.state(f"app {number}-1") for number in range(1, 13)]
    offers = factories.reported_repository(factories.repository("app 1-1"))
    results = race(12, lambda number: factories.report(endpoint, wanted[number], offers, seq=number + 1))
    assert kinds(results) == {"CheckIn": 12}
    endpoint.refresh_from_db()
    assert (endpoint.report_seq, endpoint.state) == (12, wanted[11])
    history = list(EndpointState.objects.order_by("pk").values_list("seq", flat=True))
    assert history == sorted(history) and history[-1] == 12


def test_retention_while_states_come_and_go_nothing_dangles() -> None:
    """Uploads, check-ins and clean-ups at once: what is referred to is there, whole."""
    retention.UNREFERENCED_FOR, day = timedelta(0), retention.UNREFERENCED_FOR
    try:
        endpoints = [factories.endpoint() for _ in range(6)]
        offers = factories.reported_repository(factories.repository("app 1-1"))
        factories.report(endpoints[0], factories.state("app 0-1"), offers)

        def act(number: int) -> Any:
            if number >= len(endpoints):
                return [retention.clean() for _ in range(6)]
            for step in range(6):
                seen = factories.report(endpoints[number], factories.state(f"app {step}-{number}"), offers)
                assert seen.recorded or seen.want
            return None

        results = race(len(endpoints) + 2, act)
    finally:
        retention.UNREFERENCED_FOR = day
    assert not [result for result in results if isinstance(result, Exception)], results
    for state in State.objects.all():
        assert len(states.load(state)) == state.package_count


@pytest.mark.skipif(settings.DATABASE_TYPE == "sqlite", reason="SQLite's writers are alone anyway")
def test_content_lock_owned_waits_for_those_who_share_it() -> None:
    shared, owned = threading.Event(), threading.Event()

    def act(number: int) -> bool:
        with transaction.atomic():
            if number:
                content_lock.share_content()
                shared.set()
                return owned.wait(0.5)
            shared.wait(30)
            content_lock.own_content()
            owned.set()
            return True

    assert race(2, act) == [True, False]


def test_go_back_while_the_source_is_deleted_works_either_way() -> None:
    for _ in range(5):
        pool = factories.pool()
        source = factories.target(pool, "app 1.0-1").source_endpoint
        assert source

        def act(number: int, pool: Any = pool, source: Endpoint = source) -> Any:
            if number:
                return endpoint_manager.delete_endpoint(endpoint=source, actor="test")
            return pool_manager.go_back(pool=pool, number=1, actor="test")

        assert kinds(race(2, act)) == {"TargetRevision": 1, "NoneType": 1}
        assert not TargetRevision.objects.filter(source_endpoint__isnull=False, pool=pool).exists()


def test_restored_many_endpoints_notice_at_once_it_is_paused_once_and_every_number_counts() -> None:
    pool = factories.pool(auto_sync=True, conflict_resolution="oldest")
    factories.target(pool, "app 1.0-1")
    endpoints = [factories.reporting_endpoint(pool=pool, state=factories.state("app 1.0-1")) for _ in range(8)]
    state = factories.state("app 9.0-1")
    factories.repository("app 9.0-1")

    def check_in(number: int) -> bool:
        endpoint = Endpoint.objects.select_related("pool__target").get(pk=endpoints[number].pk)
        seen = endpoint_manager.SeenRevision(number=10 + number, digest="f" * 64)
        return factories.report(endpoint, state, seen=seen).recorded

    assert race(8, check_in) == [True] * 8
    pool.refresh_from_db()
    assert (pool.highest_number, pool.paused_since is None) == (17, False)
    assert AuditEvent.objects.filter(verb="pause_sync").count() == 1
    assert not Operation.objects.exists()


def test_confirm_many_at_once_and_targets_beside_no_number_is_given_twice() -> None:
    pool = factories.pool()
    factories.target(pool, "app 1.0-1")
    source = factories.reporting_endpoint(pool=pool, state=factories.state("app 2.0-1"))
    fresh = Endpoint.objects.select_related("pool__target").get(pk=source.pk)
    factories.report(fresh, factories.state("app 2.0-1"), seen=endpoint_manager.SeenRevision(number=7, digest="f" * 64))

    def act(number: int) -> Any:
        if number % 2:
            return pool_manager.set_target(pool=pool, endpoint=source, actor="test", force=True)[0]
        return pool_manager.confirm(pool=pool, actor="test")

    assert kinds(race(10, act)) == {"Pool": 5, "TargetRevision": 5}
    numbers = sorted(TargetRevision.objects.values_list("number", flat=True))
    assert numbers[0] == 1 and numbers[1:] == list(range(8, 8 + len(numbers) - 1))
    assert AuditEvent.objects.filter(verb="confirm_target").count() == 1


def test_right_taken_away_while_it_is_used_one_comes_first() -> None:
    for number in range(5):
        pool = factories.pool()
        made = factories.reporting_endpoint(f"race{number}", pool=pool, state=factories.state("app 2.0-1"))
        endpoint = endpoint_manager.change_rights(endpoint=made, may_set_targets=True, actor="test")

        def act(which: int, pool: Any = pool, endpoint: Endpoint = endpoint) -> Any:
            if which:
                return endpoint_manager.change_rights(endpoint=endpoint, may_set_targets=False, actor="test")
            return pool_manager.set_target(pool=pool, endpoint=endpoint, setter=endpoint, actor="test")

        assert kinds(race(2, act)) in ({"tuple": 1, "Endpoint": 1}, {"MayNotSetTargets": 1, "Endpoint": 1})
