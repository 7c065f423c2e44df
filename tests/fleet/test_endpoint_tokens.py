"""New tokens of endpoints: by a code to enrol again, by an operator, by the agent; and what an old one still can."""

from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from apps.fleet import endpoint_manager, endpoint_tokens, exceptions, tokens
from apps.fleet.models import AuditEvent, Endpoint, EndpointState, Operation, ReenrolmentCode
from tests import factories

pytestmark = pytest.mark.django_db

OLD, NEW = "pse_old", "pse_new"


@pytest.fixture
def box() -> Endpoint:
    """`box` in a pool, behind its target, with history, a finished operation and what it holds."""
    pool = factories.pool("lab")
    factories.target(pool, "app 2-1")
    made = factories.endpoint("box", pool=pool, token=OLD)
    factories.report(made, factories.state("app 1-1"), holds=["linux"])
    factories.synced(made)
    factories.report(made, factories.state("app 1-1"), holds=["linux"])
    return made


def who(token: str) -> Endpoint | None:
    return endpoint_manager.authenticate(token=token)


def code_for(endpoint: Endpoint, **options: Any) -> str:
    return endpoint_tokens.allow_reenrolment(endpoint=endpoint, actor="user:ada", **options)[1]


def enroll(code: str, name: str = "box", arch: str = "x86_64") -> tuple[Endpoint, str]:
    return endpoint_manager.enroll(code=code, name=name, arch=arch)


def prepare(endpoint: Endpoint, token: str) -> None:
    endpoint_tokens.prepare_token(endpoint=endpoint, token_hash=tokens.hash_of(token))


# --- Enrolling again --------------------------------------------------------------------------------------------


def test_reenroll_gives_the_endpoint_back_with_all_that_belongs_to_it(box: Endpoint) -> None:
    states = list(EndpointState.objects.values_list("pk", flat=True))
    operations = list(Operation.objects.values_list("pk", "status"))
    again, token = enroll(code_for(box))
    assert (again.pk, again.pool, again.holds, again.state_id) == (box.pk, box.pool, ["linux"], box.state_id)
    assert who(token) == box and again.revoked is None
    assert list(EndpointState.objects.values_list("pk", flat=True)) == states
    assert list(Operation.objects.values_list("pk", "status")) == operations
    assert AuditEvent.objects.get(verb="reenroll").object == "endpoint:box"


def test_reenroll_reports_begin_at_any_number_again_and_the_history_goes_on(box: Endpoint) -> None:
    again, _ = enroll(code_for(box))
    assert again.report_seq == 0
    for number, text in enumerate(("app 3-1", "app 4-1"), start=1):
        assert factories.report(box, factories.state(text), seq=number).recorded
    history = list(box.history.order_by("seq").values_list("state", flat=True))
    assert history[-2:] == [factories.state("app 3-1").pk, factories.state("app 4-1").pk]
    assert list(box.history.order_by("at", "pk").values_list("state", flat=True)) == history


def test_allow_reenrolment_refuses_the_old_token_at_once(box: Endpoint) -> None:
    assert who(OLD) == box
    code = code_for(box)
    assert who(OLD) is None
    enroll(code)
    assert who(OLD) is None


def test_reenroll_code_works_once(box: Endpoint) -> None:
    code = code_for(box)
    _, first = enroll(code)
    with pytest.raises(exceptions.EnrolmentCodeInvalid):
        enroll(code)
    assert who(first) == box


def test_reenroll_under_another_name_is_refused_and_the_code_stays(box: Endpoint) -> None:
    factories.endpoint("other", token="pse_other")
    code = code_for(box)
    for name in ("other", "third"):
        with pytest.raises(exceptions.CodeForAnotherName, match="--name box"):
            enroll(code, name)
    assert who("pse_other") and not Endpoint.objects.filter(name="third").exists()
    assert enroll(code)[0] == box


@pytest.mark.parametrize("why", ["expired", "withdrawn", "replaced", "revoked", "rotated", "deleted"])
def test_reenroll_code_that_is_not_valid_is_refused(box: Endpoint, why: str) -> None:
    code = code_for(box)
    if why == "expired":
        ReenrolmentCode.objects.update(expires=Now() - timedelta(seconds=1))
    elif why == "withdrawn":
        endpoint_tokens.withdraw_reenrolment(endpoint=box, actor="test")
    elif why == "replaced":
        code_for(box)
    elif why == "revoked":
        endpoint_manager.revoke_token(endpoint=box, actor="test")
    elif why == "rotated":
        endpoint_manager.rotate_token(endpoint=box, actor="test")
    else:
        endpoint_manager.delete_endpoint(endpoint=box, actor="test")
    with pytest.raises(exceptions.EnrolmentCodeInvalid) as refusal:
        enroll(code)
    assert str(refusal.value) == "The enrolment code is unknown, expired or used up."
    assert not ReenrolmentCode.objects.filter(endpoint=box.pk, expires__gt=Now()).exists() or why == "replaced"


def test_reenroll_ordinary_code_never_takes_a_name_over(box: Endpoint) -> None:
    code_for(box)
    _, ordinary = endpoint_manager.create_enrolment_code(actor="test")
    with pytest.raises(exceptions.NameTaken):
        enroll(ordinary)


def test_allow_reenrolment_stores_only_the_hash_and_takes_the_right_to_set_targets(box: Endpoint) -> None:
    endpoint_manager.change_rights(endpoint=box, may_set_targets=True, actor="test")
    code = code_for(box)
    again, token = enroll(code)
    assert not again.may_set_targets
    rows = repr([*ReenrolmentCode.objects.values(), *AuditEvent.objects.values(), *Endpoint.objects.values()])
    assert code[4:] not in rows and token[4:] not in rows


@pytest.mark.parametrize("valid_for", [timedelta(0), timedelta(days=366)])
def test_allow_reenrolment_that_makes_no_sense_changes_nothing(box: Endpoint, valid_for: timedelta) -> None:
    with pytest.raises(exceptions.Invalid):
        code_for(box, valid_for=valid_for)
    assert who(OLD) == box


# --- A stolen token ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["code", "operator"])
def test_stolen_token_can_report_before_and_nothing_after(box: Endpoint, way: str) -> None:
    """The thief pushes the report number as far as it goes, and prepares a token to come back with."""
    thief = who(OLD)
    assert thief
    factories.report(thief, factories.state("bad 1-1"), seq=2**63 - 1)
    prepare(thief, NEW)
    if way == "code":
        _, token = enroll(code_for(box))
    else:
        token = endpoint_manager.rotate_token(endpoint=box, actor="user:ada")
    assert who(OLD) is None and who(NEW) is None
    machine = who(token)
    assert machine
    assert factories.report(machine, factories.state("app 1-1"), seq=1).recorded
    box.refresh_from_db()
    assert (box.state_id, box.report_seq) == (factories.state("app 1-1").pk, 1)


def test_report_that_was_let_in_before_the_rotation_is_not_recorded_after_it(box: Endpoint) -> None:
    late = who(OLD)
    assert late
    endpoint_manager.rotate_token(endpoint=box, actor="test")
    state = factories.state("bad 1-1")
    with pytest.raises(exceptions.Conflict, match="token was replaced"):
        endpoint_manager.check_in(
            endpoint=late, seq=99, state=state.digest, repositories=[], holds=[], agent_version="1"
        )
    box.refresh_from_db()
    assert box.state_id != state.pk


# --- The agent rotates its token --------------------------------------------------------------------------------


def test_prepared_token_replaces_the_old_one_with_its_first_use(box: Endpoint) -> None:
    endpoint_tokens.request_rotation(endpoint=box, actor="user:ada")
    prepare(box, NEW)
    prepare(box, NEW)
    assert who(OLD) == box
    assert who(NEW) == box
    assert who(OLD) is None and who(NEW) == box
    box.refresh_from_db()
    assert (box.next_token_hash, box.rotation_requested) == (None, None)
    assert [event.actor for event in AuditEvent.objects.filter(verb="rotate_token")] == ["endpoint:box"]


def test_prepared_token_another_one_replaces_it(box: Endpoint) -> None:
    prepare(box, "pse_first")
    prepare(box, NEW)
    assert who("pse_first") is None and who(OLD) == box and who(NEW) == box


def test_prepared_token_of_a_revoked_endpoint_lets_nobody_in(box: Endpoint) -> None:
    prepare(box, NEW)
    endpoint_manager.revoke_token(endpoint=box, actor="test")
    assert who(NEW) is None


@pytest.mark.parametrize("text", ["", "0" * 63, "A" * 64, "0" * 64 + "\n"])
def test_prepare_token_that_is_no_hash_is_refused(box: Endpoint, text: str) -> None:
    with pytest.raises(exceptions.Invalid):
        endpoint_tokens.prepare_token(endpoint=box, token_hash=text)


def test_prepare_token_that_is_in_use_is_refused(box: Endpoint) -> None:
    other = factories.endpoint("other", token="pse_other")
    for token in (OLD, "pse_other"):
        with pytest.raises(exceptions.Conflict):
            prepare(box, token)
    prepare(box, NEW)
    with pytest.raises(exceptions.Conflict):
        prepare(other, NEW)


def test_prepare_token_with_a_token_that_was_just_replaced_is_refused(box: Endpoint) -> None:
    late = who(OLD)
    assert late
    endpoint_manager.rotate_token(endpoint=box, actor="test")
    with pytest.raises(exceptions.Conflict):
        prepare(late, NEW)
    assert who(NEW) is None


def test_request_rotation_is_noted_once_and_refused_for_a_revoked_endpoint(box: Endpoint) -> None:
    for _ in range(2):
        endpoint_tokens.request_rotation(endpoint=box, actor="user:ada")
    assert AuditEvent.objects.filter(verb="request_rotation").count() == 1
    endpoint_manager.revoke_token(endpoint=box, actor="test")
    with pytest.raises(exceptions.Conflict):
        endpoint_tokens.request_rotation(endpoint=box, actor="user:ada")


def test_authenticate_an_unknown_token_takes_two_reads(django_assert_num_queries: Any, box: Endpoint) -> None:
    with django_assert_num_queries(1):
        assert who(OLD)
    with django_assert_num_queries(2):
        assert who("pse_unknown") is None
