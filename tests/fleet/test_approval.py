"""Endpoints that wait for an approval: nothing of theirs is kept, and they get nothing."""

from typing import Any

import pytest

from apps.fleet import approval, attention, endpoint_manager, endpoint_tokens, exceptions, reasons
from apps.fleet.models import AuditEvent, Endpoint
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def waiting(settings: Any) -> Endpoint:
    """m1, which has just enrolled in a pool with a target."""
    settings.REQUIRE_APPROVAL = True
    pool = factories.pool("lab")
    factories.target(pool, "app 2-1")
    _, code = endpoint_manager.create_enrolment_code(actor="test", pool=pool)
    return endpoint_manager.enroll(code=code, name="m1", arch="x86_64")[0]


def test_enroll_without_the_setting_waits_for_nobody() -> None:
    _, code = endpoint_manager.create_enrolment_code(actor="test")
    assert not endpoint_manager.enroll(code=code, name="m1", arch="x86_64")[0].awaits_approval


def test_report_of_a_waiting_endpoint_leaves_only_a_sign_of_life(waiting: Endpoint) -> None:
    done = factories.report(waiting, factories.state("app 1-1"))
    assert (done.recorded, done.want, done.operation) == (False, (), None)
    assert waiting.last_seen and (waiting.state_id, waiting.report_seq) == (None, 0)
    assert not waiting.repositories.exists() and not waiting.history.exists()
    assert reasons.why(waiting, "unknown", None).startswith("It waits for an operator's approval")


def test_approve_lets_it_report_and_is_noted_once(waiting: Endpoint) -> None:
    for _ in range(2):
        approval.approve(endpoint=waiting, actor="user:ada")
    waiting.refresh_from_db()
    assert factories.report(waiting, factories.state("app 1-1")).recorded
    assert [event.actor for event in AuditEvent.objects.filter(verb="approve")] == ["user:ada"]


def test_check_raises_only_while_it_waits(waiting: Endpoint) -> None:
    with pytest.raises(exceptions.ApprovalPending):
        approval.check(waiting)
    approval.check(approval.approve(endpoint=waiting, actor="test"))


def test_reenrolled_endpoint_was_approved_before(settings: Any) -> None:
    made = factories.endpoint("m1")
    settings.REQUIRE_APPROVAL = True
    _, code = endpoint_tokens.allow_reenrolment(endpoint=made, actor="test")
    assert not endpoint_manager.enroll(code=code, name="m1", arch="x86_64")[0].awaits_approval


def test_waiting_endpoints_need_attention(waiting: Endpoint) -> None:
    (item,) = [one for one in attention.needs_attention(None) if one.kind == "awaits_approval"]
    assert (item.severity, item.endpoint, item.cause) == (
        "warn",
        "m1",
        "m1 enrolled and waits for an operator's approval.",
    )
    Endpoint.objects.create(name="m2", arch="x86_64", pool=waiting.pool, awaits_approval=True)
    (item,) = [one for one in attention.needs_attention(None) if one.kind == "awaits_approval"]
    assert (item.count, item.cause) == (2, "m1 and 1 more enrolled and wait for an operator's approval.")
