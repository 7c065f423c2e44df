"""Who may set targets, what needs approval, and what becomes of the targets of an endpoint that was revoked."""

import pytest

from apps.fleet import automatic, endpoint_manager, exceptions, pool_alarms, pool_manager
from apps.fleet.models import AuditEvent, Endpoint, Pool, TargetRevision
from apps.fleet.pool_alarms import PoolAlarm
from tests import factories

pytestmark = pytest.mark.django_db


def setter(pool: Pool, state: str = "app 2-1", name: str = "box1") -> Endpoint:
    """An endpoint with the right, which has reported."""
    made = factories.reporting_endpoint(name, pool=pool, state=factories.state(state))
    return endpoint_manager.change_rights(endpoint=made, may_set_targets=True, actor="user:ada")


def set_by(endpoint: Endpoint, pool: Pool, **options: object) -> TargetRevision:
    return pool_manager.set_target(
        pool=pool, endpoint=endpoint, setter=endpoint, actor=f"endpoint:{endpoint.name}", **options
    )[0]


def alarms(pool: Pool) -> list[PoolAlarm]:
    found = Pool.objects.select_related("target").get(pk=pool.pk)
    return pool_alarms.of([found])[pool.pk]


def test_right_comes_through_the_code_and_nobody_has_it_otherwise() -> None:
    pool = factories.pool()
    for may in (False, True):
        code, text = endpoint_manager.create_enrolment_code(actor="anna", pool=pool, may_set_targets=may)
        endpoint, _ = endpoint_manager.enroll(code=text, name=f"new{may}", arch="x86_64")
        assert endpoint.may_set_targets is code.may_set_targets is may
    assert factories.endpoint().may_set_targets is False
    assert AuditEvent.objects.filter(verb="enroll").order_by("pk").last().after["may_set_targets"]  # type: ignore[union-attr]


def test_right_changes_are_audited_once() -> None:
    endpoint = factories.endpoint("box1")
    for may in (True, True, False):
        endpoint_manager.change_rights(endpoint=endpoint, may_set_targets=may, actor="user:ada")
    events = AuditEvent.objects.filter(verb="change_rights").order_by("pk")
    assert [event.after["may_set_targets"] for event in events] == [True, False]


def test_right_taken_away_after_the_request_was_let_in_refuses_it() -> None:
    pool = factories.pool()
    endpoint = setter(pool)
    endpoint_manager.change_rights(endpoint=endpoint, may_set_targets=False, actor="test")
    with pytest.raises(exceptions.MayNotSetTargets):
        set_by(endpoint, pool)
    assert not TargetRevision.objects.exists()


def test_right_goes_with_the_token_and_does_not_come_back_with_a_new_one() -> None:
    endpoint = setter(factories.pool())
    endpoint_manager.revoke_token(endpoint=endpoint, actor="test")
    endpoint.refresh_from_db()
    assert (endpoint.may_set_targets, endpoint.revoked is None) == (False, False)
    with pytest.raises(exceptions.Conflict):
        endpoint_manager.change_rights(endpoint=endpoint, may_set_targets=True, actor="test")
    endpoint_manager.rotate_token(endpoint=endpoint, actor="test")
    endpoint.refresh_from_db()
    assert (endpoint.may_set_targets, endpoint.revoked) == (False, None)


def test_right_is_for_the_own_pool_from_itself() -> None:
    pool, other = factories.pool(), factories.pool()
    endpoint = setter(pool)
    neighbour = setter(pool, "app 3-1", "box2")
    with pytest.raises(exceptions.Forbidden):
        set_by(endpoint, other)
    with pytest.raises(exceptions.Forbidden):
        pool_manager.set_target(pool=pool, endpoint=neighbour, setter=endpoint, actor="endpoint:box1")
    assert set_by(endpoint, pool).number == 1


def test_approval_automatic_sync_waits_for_it_and_people_do_not() -> None:
    pool = factories.pool(auto_sync=True, endpoint_targets_need_approval=True)
    behind = factories.reporting_endpoint("box9", pool=pool, state=factories.state("app 1-1"))
    revision = set_by(setter(pool), pool)
    assert not revision.approved
    assert automatic.wanted(Endpoint.objects.with_target().get(pk=behind.pk)) is None
    (alarm,) = alarms(pool)
    assert (alarm.alarm, alarm.endpoint) == ("unapproved_target", "box1")
    for _ in range(2):
        revision = pool_manager.approve(pool=pool, number=1, actor="user:ada")
    assert revision.approved and alarms(pool) == []
    assert AuditEvent.objects.get(verb="approve_target").actor == "user:ada"
    assert automatic.wanted(Endpoint.objects.with_target().get(pk=behind.pk)) is not None
    with pytest.raises(exceptions.NotFound):
        pool_manager.approve(pool=pool, number=2, actor="user:ada")


def test_approval_is_waited_for_only_while_both_policies_are_on() -> None:
    pool = factories.pool(auto_sync=True, endpoint_targets_need_approval=True)
    behind = factories.reporting_endpoint("box9", pool=pool, state=factories.state("app 1-1"))
    set_by(setter(pool), pool)
    pool_manager.change_pool(pool=pool, actor="test", auto_sync=False)
    assert alarms(pool) == []
    pool_manager.change_pool(pool=pool, actor="test", auto_sync=True, endpoint_targets_need_approval=False)
    assert alarms(pool) == []
    assert automatic.wanted(Endpoint.objects.with_target().get(pk=behind.pk)) is not None


def test_approval_target_set_before_the_policy_counts_as_approved() -> None:
    pool = factories.pool(auto_sync=True)
    behind = factories.reporting_endpoint("box9", pool=pool, state=factories.state("app 1-1"))
    set_by(setter(pool), pool)
    pool_manager.change_pool(pool=pool, actor="test", endpoint_targets_need_approval=True)
    assert alarms(pool) == []
    assert automatic.wanted(Endpoint.objects.with_target().get(pk=behind.pk)) is not None


def test_approval_operators_targets_need_none_and_setting_the_same_approves() -> None:
    pool = factories.pool(endpoint_targets_need_approval=True)
    endpoint = setter(pool)
    assert not set_by(endpoint, pool).approved
    assert set_by(endpoint, pool).number == 1  # nothing new
    revision, new = pool_manager.set_target(pool=pool, endpoint=endpoint, actor="user:ada")
    assert (revision.number, revision.approved, new) == (2, True, True)
    assert set_by(endpoint, pool) == revision  # and the endpoint can't take that back
    assert pool_manager.go_back(pool=pool, number=1, actor="user:ada").approved


def test_revoked_endpoint_pools_whose_target_it_set_say_so_and_offer_the_revision_before() -> None:
    pool = factories.pool()
    factories.target(pool, "app 1-1")
    endpoint = setter(pool)
    set_by(endpoint, pool)
    factories.report(endpoint, factories.state("app 3-1"))
    set_by(endpoint, pool)
    assert alarms(pool) == []
    endpoint_manager.revoke_token(endpoint=endpoint, actor="user:ada")
    (alarm,) = alarms(pool)
    assert (alarm.alarm, alarm.endpoint, alarm.revision_before) == ("revoked_source", "box1", 1)
    assert alarm.text.startswith("Target #3 was set by endpoint box1, whose token was revoked.")
    pool_manager.go_back(pool=pool, number=1, actor="user:ada")
    assert alarms(pool) == []


def test_revoked_endpoint_that_was_only_the_source_counts_too_and_what_people_decide_later_does_not() -> None:
    pool = factories.pool()
    endpoint = setter(pool)
    pool_manager.set_target(pool=pool, endpoint=endpoint, actor="user:ada")
    endpoint_manager.revoke_token(endpoint=endpoint, actor="user:ada")
    (alarm,) = alarms(pool)
    assert "was made from endpoint box1" in alarm.text and alarm.revision_before is None
    pool_manager.go_back(pool=pool, number=1, actor="user:ada")  # looked at, and found good
    assert alarms(pool) == []


def test_revoked_endpoint_offers_what_an_operator_went_back_to_since_its_revocation() -> None:
    pool = factories.pool()
    factories.target(pool, "app 1-1")
    first, second = setter(pool), setter(pool, "app 3-1", "box2")
    set_by(first, pool)
    endpoint_manager.revoke_token(endpoint=first, actor="user:ada")
    pool_manager.go_back(pool=pool, number=2, actor="user:ada")  # looked at, and found good
    set_by(second, pool)
    endpoint_manager.revoke_token(endpoint=second, actor="user:ada")
    (alarm,) = alarms(pool)
    assert (alarm.endpoint, alarm.revision_before) == ("box2", 3)


def test_revoked_endpoint_offers_an_approved_revision_rather_than_a_newer_one() -> None:
    pool = factories.pool(endpoint_targets_need_approval=True)
    first, second = setter(pool, "app 1-1"), setter(pool, "app 3-1", "box2")
    set_by(first, pool)
    set_by(second, pool)
    endpoint_manager.revoke_token(endpoint=second, actor="user:ada")
    (alarm,) = alarms(pool)
    assert alarm.revision_before == 1  # nobody approved it, and there is no other
    pool_manager.approve(pool=pool, number=1, actor="user:ada")
    factories.report(first, factories.state("app 2-1"))
    set_by(first, pool)
    third = setter(pool, "app 4-1", "box3")
    set_by(third, pool)
    endpoint_manager.revoke_token(endpoint=third, actor="user:ada")
    (alarm,) = alarms(pool)
    assert alarm.revision_before == 1  # not 3, which waits for an approval


def test_revoked_endpoint_that_was_forgotten_is_named_still() -> None:
    pool = factories.pool()
    factories.target(pool, "app 1-1")
    endpoint = setter(pool)
    set_by(endpoint, pool)
    endpoint_manager.delete_endpoint(endpoint=endpoint, actor="user:ada")
    (alarm,) = alarms(pool)
    assert alarm.text.startswith("Target #2 was set by endpoint box1, which was forgotten.")
    assert alarm.revision_before == 1


def test_alarms_counted_by_kind_and_queries_do_not_grow(django_assert_max_num_queries: object) -> None:
    for number in range(5):
        pool = factories.pool(auto_sync=True, endpoint_targets_need_approval=True)
        factories.target(pool, "app 1-1")
        endpoint = setter(pool, name=f"s{number}")
        set_by(endpoint, pool)
        endpoint_manager.revoke_token(endpoint=endpoint, actor="test")
    with django_assert_max_num_queries(3):  # type: ignore[operator]
        found = pool_alarms.counts()
    assert found == {"revoked_source": 5, "unknown_revision": 0, "unapproved_target": 5}
