"""Operations after which health commands of the machine failed: how they are kept, counted, and shown as a problem."""

import pytest

from apps.fleet import automatic, examination, exceptions, goals, last_results, paused_automatic_sync, sync_coordinator
from apps.fleet.attention import needs_attention
from apps.fleet.filters import EndpointFilter
from apps.fleet.models import AuditEvent, Endpoint, Operation
from apps.fleet.models.operations import UNHEALTHY
from tests import factories

pytestmark = pytest.mark.django_db
OLD, NEW = ("app 1-1",), ("app 2-1",)


@pytest.fixture
def box() -> Endpoint:
    """An endpoint whose automatic sync is queued."""
    pool = factories.pool("lab", auto_sync=True)
    factories.target(pool, *NEW)
    made = factories.endpoint("box", pool=pool)
    factories.report(made, factories.state(*OLD))
    return made


def finished(box: Endpoint, code: str, *packages: str) -> Operation:
    operation = Operation.objects.active().get(endpoint=box)
    ended = factories.finish(factories.applying(operation), factories.state(*packages), outcome="failed", code=code)
    box.refresh_from_db()
    return ended


def unhealthy(box: Endpoint, *packages: str) -> None:
    problem = factories.problem("health_check_failed", "10-nginx")
    factories.report(box, factories.state(*packages), examination=[problem])
    box.refresh_from_db()


def test_reverted_sync_failed_at_once_and_automatic_sync_rests(box: Endpoint) -> None:
    operation = finished(box, "health_check_reverted", *OLD)
    assert (operation.status, operation.retry_at, operation.retries) == ("failed", None, 0)
    event = AuditEvent.objects.get(object=f"operation:{operation.pk}", verb="failed")
    assert event.after["code"] == "health_check_reverted"
    factories.report(box, factories.state(*OLD))
    assert not Operation.objects.active().exists() and automatic.wanted(box) is None
    resting = paused_automatic_sync.of_one(box)
    assert resting and (resting.why, resting.code) == ("failed", "health_check_reverted")
    with pytest.raises(exceptions.NothingToRevert):
        goals.revert_goal(box)
    factories.target(box.pool, "app 3-1")  # a new target is another chance
    factories.report(box, factories.state(*OLD))
    assert Operation.objects.active().filter(endpoint=box).exists()


@pytest.mark.parametrize("code", ["health_check_failed", "health_revert_failed"])
def test_sync_that_the_machine_stays_with_failed_and_can_be_reverted(box: Endpoint, code: str) -> None:
    operation = finished(box, code, *NEW)
    assert (operation.status, operation.result["code"]) == ("failed", code)
    assert goals.newest_unreverted(box) == operation
    assert goals.revert_goal(box).packages == factories.packages(*OLD)
    assert automatic.wanted(box) is None


def test_revert_that_broke_off_did_not_reach_the_target(box: Endpoint) -> None:
    operation = finished(box, "health_revert_failed", "app 1-5")
    assert operation.status == "failed" and operation.result["difference"]["counts"]["upgrade"] == 1
    assert goals.newest_unreverted(box) is None


def test_revert_by_hand_that_leaves_the_machine_unhealthy_took_the_sync_back(box: Endpoint) -> None:
    factories.finish(factories.applying(Operation.objects.active().get(endpoint=box)))
    sync_coordinator.create_operation(endpoint=Endpoint.objects.get(pk=box.pk), kind="revert", actor="user:ada")
    revert = finished(box, "health_check_failed", *OLD)
    assert (revert.kind, revert.status) == ("revert", "failed")
    assert goals.newest_unreverted(box) is None
    resting = paused_automatic_sync.of_one(box)
    assert resting and resting.why == "reverted"


@pytest.mark.parametrize("code", UNHEALTHY)
def test_endpoints_are_counted_and_selected_by_it(box: Endpoint, code: str) -> None:
    other = factories.reporting_endpoint("other", pool=box.pool, state=factories.state(*OLD))
    finished(other, "pacman_failed", *OLD)
    assert last_results.count_unhealthy() == 0
    finished(box, code, *(OLD if code == "health_check_reverted" else NEW))
    assert last_results.count_unhealthy() == 1
    assert last_results.went_wrong(Endpoint.objects.filter(pool=box.pool)) == {"failed": 2, "unhealthy": 1}
    assert last_results.went_wrong(Endpoint.objects.filter(pk=other.pk)) == {"failed": 1}
    assert list(EndpointFilter(last_result="unhealthy").rows()) == [box]
    assert set(EndpointFilter(last_result="failed").rows()) == {box, other}


def test_reverted_sync_needs_attention_with_its_cause(box: Endpoint) -> None:
    finished(box, "health_check_reverted", *OLD)
    kinds = [(item.kind, item.endpoint, item.severity) for item in needs_attention()]
    assert kinds == [("failed", "box", "bad")]


def test_unhealthy_endpoint_in_sync_needs_attention_until_it_reports_none(box: Endpoint) -> None:
    finished(box, "health_check_failed", *NEW)
    assert needs_attention() == []
    unhealthy(box, *NEW)
    assert [(item.kind, item.endpoint) for item in needs_attention()] == [("failed", "box")]
    factories.report(box, factories.state(*NEW))
    assert needs_attention() == []


@pytest.mark.parametrize("force", [False, True])
def test_unhealthy_endpoint_is_no_source_unless_forced(box: Endpoint, force: bool) -> None:
    unhealthy(box, *OLD)
    if force:
        examination.check_source(box, force=True)
        return
    with pytest.raises(exceptions.UnsoundSource, match="10-nginx"):
        examination.check_source(box, force=False)
