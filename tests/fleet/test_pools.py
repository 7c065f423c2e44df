"""Pools and their targets: what is written, what is refused, what the audit says."""

from typing import Any

import pytest

from apps.fleet import endpoint_manager, exceptions, pool_manager, states
from apps.fleet.models import AuditEvent, Pool, TargetRevision
from tests import factories

pytestmark = pytest.mark.django_db

NAMES_REFUSED = ["", "-a", "a-", "a/b", "a b", "a\n", "a\0", "é", "x" * 64, "../x", 5, None]


@pytest.mark.parametrize("name", NAMES_REFUSED)
def test_create_pool_name_that_is_none_is_refused(name: Any) -> None:
    with pytest.raises(exceptions.InvalidName):
        pool_manager.create_pool(name=name, actor="test")
    assert not Pool.objects.exists()


@pytest.mark.parametrize(
    "policy",
    [
        {"auto_sync": "yes"},
        {"auto_sync": 1},
        {"conflict_resolution": "random"},
        {"retention": 0},
        {"retention": True},
        {"retention": 10_001},
        {"excluded_packages": "linux"},
        {"excluded_packages": ["a b"]},
        {"excluded_packages": [""]},
        {"excluded_packages": [1]},
        {"excluded_packages": ["x"] * 1001},
        {"description": "x" * 501},
        {"description": "a\0"},
        {"id": 7},
        {"target": None},
    ],
)
def test_pool_policy_that_makes_no_sense_is_refused(policy: dict[str, Any]) -> None:
    with pytest.raises(exceptions.Invalid):
        factories.pool(**policy)
    pool = factories.pool()
    with pytest.raises(exceptions.Invalid):
        pool_manager.change_pool(pool=pool, actor="test", **policy)


def test_create_pool_name_taken_is_refused() -> None:
    factories.pool("lab")
    with pytest.raises(exceptions.NameTaken):
        factories.pool("lab")


def test_change_pool_writes_and_audits_only_what_changed() -> None:
    pool = factories.pool("lab")
    changed = pool_manager.change_pool(pool=pool, actor="anna", name="lab", auto_sync=True, retention=7)
    assert (changed.auto_sync, changed.retention) == (True, 7)
    event = AuditEvent.objects.get(actor="anna")
    assert (event.verb, event.object) == ("change", "pool:lab")
    assert (event.before, event.after) == ({"auto_sync": False, "retention": 50}, {"auto_sync": True, "retention": 7})
    pool_manager.change_pool(pool=pool, actor="anna", auto_sync=True)
    assert AuditEvent.objects.filter(actor="anna").count() == 1


def test_change_pool_to_a_taken_name_is_refused() -> None:
    factories.pool("lab")
    with pytest.raises(exceptions.NameTaken):
        pool_manager.change_pool(pool=factories.pool("home"), actor="test", name="lab")


def test_delete_pool_with_endpoints_is_refused_and_without_goes_with_its_revisions() -> None:
    pool = factories.pool()
    source = factories.target(pool).source_endpoint
    with pytest.raises(exceptions.PoolNotEmpty):
        pool_manager.delete_pool(pool=pool, actor="test")
    assert source
    endpoint_manager.assign(endpoint=source, pool=None, actor="test")
    pool_manager.delete_pool(pool=pool, actor="test")
    assert not Pool.objects.exists() and not TargetRevision.objects.exists()
    with pytest.raises(exceptions.NotFound):
        pool_manager.delete_pool(pool=Pool(pk=1, name="gone"), actor="test")


def test_set_target_expected_number_decides() -> None:
    pool = factories.pool()
    endpoint = factories.reporting_endpoint(pool=pool, state=factories.state())
    set_target = {"pool": pool, "endpoint": endpoint, "actor": "test"}
    with pytest.raises(exceptions.TargetChanged):
        pool_manager.set_target(**set_target, expected_number=1)
    assert pool_manager.set_target(**set_target, expected_number=0)[0].number == 1
    with pytest.raises(exceptions.TargetChanged) as refusal:
        pool_manager.set_target(**set_target, expected_number=0)
    assert refusal.value.extra["number"] == 1
    factories.report(endpoint, factories.state("app 9-1"))
    assert pool_manager.set_target(**set_target, expected_number=1)[0].number == 2


def test_set_target_same_again_is_a_no_op_unless_forced() -> None:
    pool = factories.pool()
    endpoint = factories.reporting_endpoint(pool=pool, state=factories.state("app 1.0-1"))
    set_target = {"pool": pool, "endpoint": endpoint}
    first, new = pool_manager.set_target(**set_target, actor="anna")
    assert new
    again = pool_manager.set_target(**set_target, actor="bert", expected_number=1, comment="again")
    assert (again, AuditEvent.objects.filter(verb="set_target").count()) == ((first, False), 1)
    forced, new = pool_manager.set_target(**set_target, actor="anna", force=True)
    assert (forced.number, forced.state, new) == (2, first.state, True)


def test_set_target_other_packages_or_repositories_make_a_new_one() -> None:
    pool = factories.pool()
    endpoint = factories.reporting_endpoint(pool=pool, state=factories.state("app 1.0-1"))
    set_target = {"pool": pool, "endpoint": endpoint, "actor": "anna"}
    assert pool_manager.set_target(**set_target)[0].number == 1
    factories.report(endpoint, factories.state("app 2.0-1"))
    assert pool_manager.set_target(**set_target)[0].number == 2
    content = factories.repository("app 2.0-1")
    for number, mirror in ((3, "https://m/core"), (4, "https://n/core")):
        factories.report(
            endpoint, factories.state("app 2.0-1"), factories.reported_repository(content, "core", [mirror])
        )
        assert pool_manager.set_target(**set_target)[0].number == number


def test_set_target_keeps_where_the_packages_came_from() -> None:
    pool = factories.pool()
    content = factories.repository("app 1.0-1")
    endpoint = factories.endpoint(pool=pool)
    factories.report(
        endpoint, factories.state("app 1.0-1"), factories.reported_repository(content, "core", ["https://m/core"])
    )
    revision, _ = pool_manager.set_target(pool=pool, endpoint=endpoint, actor="test")
    assert revision.repositories == [{"name": "core", "digest": content.digest, "mirrors": ["https://m/core"]}]


def test_set_target_unreported_or_of_another_pool_is_refused() -> None:
    pool = factories.pool()
    with pytest.raises(exceptions.StateUnknown):
        pool_manager.set_target(pool=pool, endpoint=factories.endpoint(pool=pool), actor="test")
    with pytest.raises(exceptions.Conflict):
        other = factories.reporting_endpoint(state=factories.state())
        pool_manager.set_target(pool=pool, endpoint=other, actor="test")
    assert not TargetRevision.objects.exists()


def test_set_target_from_a_machine_without_packages_is_refused() -> None:
    pool = factories.pool()
    empty, _ = states.save([])
    endpoint = factories.reporting_endpoint(pool=pool, state=empty)
    assert states.load(empty) == []
    with pytest.raises(exceptions.Conflict, match="has no packages at all"):
        pool_manager.set_target(pool=pool, endpoint=endpoint, actor="test")
    assert not TargetRevision.objects.exists()


def test_set_target_nothing_left_to_share_is_refused() -> None:
    pool = factories.pool(excluded_packages=["[a-z]*"])
    endpoint = factories.reporting_endpoint(pool=pool, state=factories.state())
    with pytest.raises(exceptions.Conflict):
        pool_manager.set_target(pool=pool, endpoint=endpoint, actor="test")


def test_set_target_keeps_install_reasons() -> None:
    pool = factories.pool()
    revision = factories.target(pool, "app 1.0-1", "lib 1.0-1 dependency")
    assert [package.reason for package in states.load(revision.state)] == ["explicit", "dependency"]


def test_go_back_makes_a_new_revision_with_the_old_state() -> None:
    pool = factories.pool()
    first, second = factories.target(pool, "app 1.0-1"), factories.target(pool, "app 2.0-1")
    back = pool_manager.go_back(pool=pool, number=1, actor="anna", expected_number=2, comment="broken")
    assert (back.number, back.state, back.copied_number, back.comment) == (3, first.state, 1, "broken")
    assert back.repositories == first.repositories and back.state != second.state
    with pytest.raises(exceptions.NotFound):
        pool_manager.go_back(pool=pool, number=9, actor="anna")
    with pytest.raises(exceptions.TargetChanged):
        pool_manager.go_back(pool=pool, number=1, actor="anna", expected_number=2)


def test_promote_takes_the_other_pools_target() -> None:
    test, production = factories.pool("test"), factories.pool("production")
    with pytest.raises(exceptions.NoTarget):
        pool_manager.promote(pool=production, source=test, actor="anna")
    source = factories.target(test, "app 2.0-1")
    promoted = pool_manager.promote(pool=production, source=test, actor="anna", expected_number=0)
    assert (promoted.number, promoted.state, promoted.promoted_from) == (1, source.state, "test")
    production.refresh_from_db()
    assert production.target == promoted


def test_set_target_comment_of_several_lines_is_refused() -> None:
    pool = factories.pool()
    endpoint = factories.reporting_endpoint(pool=pool, state=factories.state())
    with pytest.raises(exceptions.Invalid):
        pool_manager.set_target(pool=pool, endpoint=endpoint, actor="test", comment="a\nb")


def test_probe_works() -> None:
    pool_manager.probe()
