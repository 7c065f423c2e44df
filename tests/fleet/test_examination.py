"""What an endpoint found about itself: kept with its report, and what it means for targets, status and syncs."""

import pytest

from apps.fleet import examination, fleet_statuses, goals, pool_manager, status, sync_coordinator
from apps.fleet.exceptions import DatabasesUnreadable, Invalid, UnsoundSource
from apps.fleet.models import Endpoint, Operation, Pool
from apps.fleet.status import EndpointStatus
from tests import factories

pytestmark = pytest.mark.django_db
FORCIBLE = ("database_locked", "pacman_unusable", "broken_dependencies", "half_upgraded", "health_check_failed")
REFUSING = ("database_unreadable", "broken_entries")
WARNING = (
    *("foreign_dependencies", "upgrades_pending", "held_back", "files_differ", "modes_differ"),
    "of_a_newer_agent",
)
NEUTRAL = ("reboot_needed", "services_outdated", "units_failed")


def source(pool: Pool, *problems: examination.ExaminationProblem) -> Endpoint:
    return factories.reporting_endpoint(pool=pool, state=factories.state("app 2-1"), examination=problems)


def set_target(endpoint: Endpoint, *, force: bool = False) -> int:
    assert endpoint.pool
    return pool_manager.set_target(pool=endpoint.pool, endpoint=endpoint, actor="test", force=force)[0].number


def test_verdicts_are_those_of_the_tables_here() -> None:
    assert set(examination.SOURCE_VERDICTS) | {"of_a_newer_agent"} == {*FORCIBLE, *REFUSING, *WARNING, *NEUTRAL}


@pytest.mark.parametrize("code", REFUSING)
def test_set_target_refusing_problem_also_when_forced(code: str) -> None:
    endpoint = source(factories.pool(), factories.problem(code, "app"), factories.problem("held_back", "linux"))
    for force in (False, True):
        with pytest.raises(UnsoundSource, match="Something is wrong with app") as refused:
            set_target(endpoint, force=force)
        assert refused.value.extra["problems"] == [factories.problem(code, "app")]
        assert "force" not in str(refused.value)


@pytest.mark.parametrize("code", FORCIBLE)
def test_set_target_forcible_problem_only_when_forced(code: str) -> None:
    endpoint = source(factories.pool(), factories.problem(code, "app"))
    with pytest.raises(UnsoundSource, match="or force it"):
        set_target(endpoint)
    assert set_target(endpoint, force=True) == 1


@pytest.mark.parametrize("code", WARNING)
def test_set_target_warning_is_no_refusal(code: str) -> None:
    assert set_target(source(factories.pool(), factories.problem(code, "app"))) == 1


def test_set_target_never_examined_is_no_refusal() -> None:
    endpoint = factories.reporting_endpoint(pool=factories.pool(), state=factories.state("app 2-1"))
    assert endpoint.examination is None and set_target(endpoint) == 1


def test_set_target_refused_makes_no_revision() -> None:
    pool = factories.pool()
    endpoint = source(pool, factories.problem("broken_entries", "app"))
    with pytest.raises(UnsoundSource):
        set_target(endpoint)
    pool.refresh_from_db()
    assert pool.target is None and not pool.revisions.exists()


def test_check_in_only_the_examination_changed_is_recorded() -> None:
    endpoint = source(factories.pool())
    assert endpoint.examination == []
    found = [factories.problem("half_upgraded", "app")]
    factories.report(endpoint, factories.state("app 2-1"), examination=found)
    assert endpoint.examination == found
    factories.report(endpoint, factories.state("app 2-1"))
    assert endpoint.examination is None


def test_check_in_old_report_leaves_the_examination() -> None:
    endpoint = source(factories.pool())
    factories.report(endpoint, factories.state("app 2-1"), examination=[])
    late = [factories.problem("half_upgraded", "app")]
    factories.report(endpoint, factories.state("app 1-1"), examination=late, seq=endpoint.report_seq - 1)
    assert endpoint.examination == []


@pytest.mark.parametrize(
    "problem",
    [
        {"code": "x\n", "text": "x", "names": []},
        {"code": "x", "text": "x" * 1001, "names": []},
        {"code": "x", "text": "", "names": []},
        {"code": "x", "text": "x", "names": ["x"] * 101},
        {"code": "x", "text": "x", "names": ["\0"]},
    ],
)
def test_check_in_problem_that_cant_be_kept_is_refused(problem: examination.ExaminationProblem) -> None:
    endpoint = factories.endpoint()
    with pytest.raises(Invalid):
        factories.report(endpoint, factories.state(), examination=[problem])
    endpoint.refresh_from_db()
    assert endpoint.state is None
    with pytest.raises(Invalid):
        factories.report(endpoint, factories.state(), examination=[factories.problem("x", "y")] * 21)


# --- an endpoint that can't read its databases


@pytest.fixture
def blind(db: None) -> Endpoint:
    """An endpoint that is behind, of a pool that syncs whatever it finds, without a readable database."""
    pool = factories.pool(auto_sync=True, conflict_resolution="oldest")
    factories.target(pool, "app 2-1")
    found = [factories.problem("database_unreadable", "core")]
    return factories.reporting_endpoint(pool=pool, state=factories.state("app 1-1"), examination=found)


def reread(endpoint: Endpoint) -> Endpoint:
    return Endpoint.objects.with_target().get(pk=endpoint.pk)


def test_databases_unreadable_no_sync_by_policy_nor_on_request(blind: Endpoint) -> None:
    assert not Operation.objects.exists()
    with pytest.raises(DatabasesUnreadable, match="core"):
        sync_coordinator.create_operation(endpoint=blind, kind="sync", actor="test")
    with pytest.raises(DatabasesUnreadable):
        goals.sync_goal(reread(blind))


def test_databases_unreadable_status_is_unknown_until_they_can_be_read(blind: Endpoint) -> None:
    assert status.of_one(reread(blind)) == EndpointStatus.UNKNOWN
    assert fleet_statuses.counts()[EndpointStatus.UNKNOWN] == 1
    factories.report(blind, factories.state("app 1-1"), examination=[])
    assert status.of_one(reread(blind)) == EndpointStatus.BEHIND
    assert Operation.objects.get().kind == "sync"


def test_databases_unreadable_exactly_at_the_target_is_in_sync(blind: Endpoint) -> None:
    found = [factories.problem("database_unreadable", "core")]
    factories.report(blind, factories.state("app 2-1"), examination=found)
    assert status.of_one(reread(blind)) == EndpointStatus.IN_SYNC


def test_databases_unreadable_revert_is_possible() -> None:
    pool = factories.pool()
    endpoint = factories.reporting_endpoint(pool=pool, state=factories.state("app 1-1"))
    factories.target(pool, "app 2-1")
    factories.synced(endpoint)
    found = [factories.problem("database_unreadable", "core")]
    factories.report(endpoint, factories.state("app 2-1"), examination=found)
    assert sync_coordinator.create_operation(endpoint=endpoint, kind="revert", actor="test")[1]
