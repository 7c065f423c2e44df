"""Endpoints: enrolment, tokens, assignment, deletion, uploads and check-ins."""

from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from apps.fleet import clock, endpoint_manager, exceptions
from apps.fleet.alpm.canonical import digest_of
from apps.fleet.endpoint_manager import ReportedRepository
from apps.fleet.models import AuditEvent, Endpoint, EndpointState, EnrolmentCode, Operation, RepositoryContent, State
from tests import factories
from tests.fleet.test_pools import NAMES_REFUSED

pytestmark = pytest.mark.django_db


def code(**options: Any) -> str:
    return endpoint_manager.create_enrolment_code(actor="anna", **options)[1]


# --- enrolment and tokens ---------------------------------------------------------------------------------------


def test_enroll_good_code_makes_an_endpoint_in_the_codes_pool() -> None:
    pool = factories.pool("lab")
    text = code(pool=pool)
    endpoint, token = endpoint_manager.enroll(code=text, name="m1", arch="x86_64")
    assert text.startswith("psc_") and token.startswith("pse_") and endpoint.pool == pool
    assert endpoint_manager.authenticate(token=token) == endpoint
    assert AuditEvent.objects.filter(verb="enroll", object="endpoint:m1").exists()


def test_enroll_secrets_are_stored_as_hashes_only() -> None:
    text = code()
    _, token = endpoint_manager.enroll(code=text, name="m1", arch="x86_64")
    rows = repr([*Endpoint.objects.values(), *EnrolmentCode.objects.values(), *AuditEvent.objects.values()])
    assert text not in rows and token not in rows and text[4:] not in rows and token[4:] not in rows


@pytest.mark.parametrize("why", ["unknown", "expired", "used up"])
def test_enroll_code_that_is_not_valid_is_refused_alike(why: str) -> None:
    text = code()
    if why == "unknown":
        text = "psc_nonsense\ud800"
    if why == "expired":
        EnrolmentCode.objects.update(expires=Now() - timedelta(seconds=1))
    if why == "used up":
        endpoint_manager.enroll(code=text, name="first", arch="x86_64")
    with pytest.raises(exceptions.EnrolmentCodeInvalid) as refusal:
        endpoint_manager.enroll(code=text, name="m1", arch="x86_64")
    assert str(refusal.value) == "The enrolment code is unknown, expired or used up."
    assert not Endpoint.objects.filter(name="m1").exists()


def test_enroll_name_taken_is_refused_and_the_code_stays() -> None:
    taken = factories.endpoint("m1", token="pse_old")
    text = code()
    with pytest.raises(exceptions.NameTaken):
        endpoint_manager.enroll(code=text, name="m1", arch="x86_64")
    assert EnrolmentCode.objects.get().used == 0
    assert endpoint_manager.authenticate(token="pse_old") == taken


@pytest.mark.parametrize("name", NAMES_REFUSED)
def test_enroll_name_that_is_none_is_refused(name: Any) -> None:
    with pytest.raises(exceptions.InvalidName):
        endpoint_manager.enroll(code=code(), name=name, arch="x86_64")


@pytest.mark.parametrize("arch", ["", "any", "x86-64", "X86", "x" * 33, "x86_64\n", None])
def test_enroll_arch_that_is_none_is_refused(arch: Any) -> None:
    with pytest.raises(exceptions.Invalid):
        endpoint_manager.enroll(code=code(), name="m1", arch=arch)


@pytest.mark.parametrize(
    "options", [{"uses": 0}, {"uses": 10_001}, {"valid_for": timedelta(0)}, {"valid_for": timedelta(days=366)}]
)
def test_create_code_that_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(exceptions.Invalid):
        code(**options)


@pytest.mark.parametrize("token", ["", "pse_", "pst_x", "pse_\ud800", "pse_\0", "x" * 100_000])
def test_authenticate_any_other_text_is_nobody(token: str) -> None:
    factories.endpoint()
    assert endpoint_manager.authenticate(token=token) is None


def test_rotate_token_old_one_is_invalid_at_once() -> None:
    endpoint = factories.endpoint(token="pse_old")
    new = endpoint_manager.rotate_token(endpoint=endpoint, actor="anna")
    assert endpoint_manager.authenticate(token="pse_old") is None
    assert endpoint_manager.authenticate(token=new) == endpoint


def test_revoke_token_locks_out_until_it_is_rotated() -> None:
    endpoint = factories.endpoint(token="pse_old")
    for _ in range(2):
        endpoint_manager.revoke_token(endpoint=endpoint, actor="anna")
    assert endpoint_manager.authenticate(token="pse_old") is None
    assert AuditEvent.objects.filter(verb="revoke_token").count() == 1
    assert endpoint_manager.authenticate(token=endpoint_manager.rotate_token(endpoint=endpoint, actor="anna"))


# --- assignment and deletion ------------------------------------------------------------------------------------


def test_assign_moves_and_audits_once() -> None:
    one, two = factories.pool("one"), factories.pool("two")
    endpoint = factories.endpoint("m1", pool=one)
    for _ in range(2):
        assert endpoint_manager.assign(endpoint=endpoint, pool=two, actor="anna").pool == two
    event = AuditEvent.objects.get(verb="assign")
    assert (event.before, event.after) == ({"pool": "one"}, {"pool": "two"})


@pytest.mark.parametrize("make", [factories.queued, factories.leased, factories.applying])
def test_assign_during_an_operation_is_refused(make: Any) -> None:
    endpoint = make().endpoint
    with pytest.raises(exceptions.OperationActive):
        endpoint_manager.assign(endpoint=endpoint, pool=None, actor="anna")
    endpoint.refresh_from_db()
    assert endpoint.pool


@pytest.mark.parametrize("make", [factories.leased, factories.applying])
def test_delete_during_an_operation_is_refused(make: Any) -> None:
    endpoint = make().endpoint
    with pytest.raises(exceptions.OperationActive):
        endpoint_manager.delete_endpoint(endpoint=endpoint, actor="anna")
    assert Endpoint.objects.filter(pk=endpoint.pk).exists()


def test_delete_takes_history_and_operations_with_it_but_not_targets() -> None:
    operation = factories.finish(factories.applying())
    pool = operation.endpoint.pool
    endpoint_manager.delete_endpoint(endpoint=operation.endpoint, actor="anna")
    assert not Operation.objects.exists() and not EndpointState.objects.filter(endpoint=operation.endpoint_id).exists()
    assert pool and pool.revisions.count() == 1
    with pytest.raises(exceptions.NotFound):
        endpoint_manager.delete_endpoint(endpoint=Endpoint(pk=operation.endpoint_id), actor="anna")


# --- uploads ----------------------------------------------------------------------------------------------------

STATE = b"app 1.0-1 x86_64 explicit\nlib 1.0-1 x86_64 dependency\n"
REPOSITORY = b"app 1.0-1 x86_64 app-1.0-1-x86_64.pkg.tar.zst - 10\n"


def test_store_state_and_repository_new_then_known() -> None:
    for new in (True, False):
        state, created = endpoint_manager.store_state(digest=digest_of(STATE), text=STATE)
        assert (state.package_count, created) == (2, new)
        content, created = endpoint_manager.store_repository(digest=digest_of(REPOSITORY), text=REPOSITORY)
        assert (content.package_count, created) == (1, new)


@pytest.mark.parametrize("digest", ["0" * 64, digest_of(STATE).upper(), ""])
def test_store_digest_of_something_else_is_refused(digest: str) -> None:
    for store in (endpoint_manager.store_state, endpoint_manager.store_repository):
        with pytest.raises(exceptions.DigestMismatch):
            store(digest=digest, text=STATE)  # type: ignore[operator]


@pytest.mark.parametrize(
    "text",
    [
        b"app",
        b"b 1-1 any explicit\na 1-1 any explicit\n",
        b"a 1-1 any maybe\n",
        b"\xff\n",
        b"a\0 1-1 any explicit\n",
    ],
)
def test_store_text_that_is_malformed_is_refused_and_leaves_nothing(text: bytes) -> None:
    with pytest.raises(exceptions.InvalidState):
        endpoint_manager.store_state(digest=digest_of(text), text=text)
    with pytest.raises(exceptions.InvalidRepository):
        endpoint_manager.store_repository(digest=digest_of(text), text=text)
    assert not State.objects.exists() and not RepositoryContent.objects.exists()


# --- check-ins --------------------------------------------------------------------------------------------------


def check_in(endpoint: Endpoint, **changes: Any) -> endpoint_manager.CheckIn:
    report = {"seq": 1, "state": "0" * 64, "repositories": [], "holds": [], "agent_version": "1.0.0"} | changes
    return endpoint_manager.check_in(endpoint=endpoint, **report)


def test_check_in_unknown_digests_are_wanted_and_nothing_is_recorded() -> None:
    endpoint = factories.endpoint()
    seen = check_in(endpoint, repositories=[ReportedRepository(name="core", digest="1" * 64)], holds=["linux"])
    assert (seen.recorded, seen.want) == (False, ("0" * 64, "1" * 64))
    endpoint.refresh_from_db()
    assert (endpoint.report_seq, endpoint.state, endpoint.holds) == (0, None, []) and endpoint.last_seen


def test_check_in_records_state_repositories_and_holds() -> None:
    endpoint, state = factories.endpoint(), factories.state()
    core, extra = factories.repository("app 1.0-1"), factories.repository("lib 1.0-1")
    repositories = [
        factories.reported_repository(core, "core", ["https://a/core", "https://b/core"]),
        factories.reported_repository(extra, "extra"),
    ]
    assert check_in(endpoint, state=state.digest, repositories=repositories, holds=["linux*", "linux*"]).recorded
    endpoint.refresh_from_db()
    assert (endpoint.state, endpoint.holds, endpoint.agent_version) == (state, ["linux*"], "1.0.0")
    stored = list(endpoint.repositories.values_list("position", "name", "content_id", "mirrors"))
    assert stored == [
        (0, "core", core.digest, ["https://a/core", "https://b/core"]),
        (1, "extra", extra.digest, ["https://mirror.example/core/os/x86_64"]),
    ]


def test_check_in_repositories_in_another_order_are_stored_so() -> None:
    endpoint, state = factories.endpoint(), factories.state()
    both = [factories.reported_repository(factories.repository("app 1.0-1"), name) for name in ("core", "extra")]
    check_in(endpoint, state=state.digest, repositories=both)
    check_in(endpoint, seq=2, state=state.digest, repositories=both[::-1])
    assert list(endpoint.repositories.values_list("name", flat=True)) == ["extra", "core"]


def test_check_in_old_number_is_ignored_but_seen() -> None:
    endpoint = factories.endpoint()
    new, old = factories.state("app 2.0-1"), factories.state("app 1.0-1")
    factories.report(endpoint, new, seq=5)
    Endpoint.objects.update(last_seen=Now() - timedelta(hours=1))
    assert not factories.report(endpoint, old, seq=4).recorded
    assert (endpoint.state, endpoint.report_seq) == (new, 5)
    assert endpoint.last_seen and clock.now() - endpoint.last_seen < timedelta(minutes=1)


def test_check_in_repeat_is_recorded_and_changes_nothing() -> None:
    endpoint, state = factories.endpoint(), factories.state()
    for _ in range(2):
        assert factories.report(endpoint, state, seq=5).recorded
    assert not factories.report(endpoint, factories.state("other 1-1"), seq=5).recorded
    assert EndpointState.objects.count() == 1 and endpoint.state == state


def test_check_in_same_state_again_adds_no_history() -> None:
    endpoint, state = factories.endpoint(), factories.state()
    for _ in range(3):
        factories.report(endpoint, state)
    assert endpoint.report_seq == 3 and list(endpoint.history.values_list("seq", flat=True)) == [1]


@pytest.mark.parametrize(
    "changes",
    [
        {"seq": 0},
        {"seq": -1},
        {"seq": 2**63},
        {"holds": ["a b"]},
        {"holds": ["\n"]},
        {"agent_version": "x" * 33},
        {"agent_version": "\0"},
        {"repositories": [ReportedRepository(name="core", digest="0" * 64)] * 2},
        {"repositories": [ReportedRepository(name="a\0b", digest="0" * 64)]},
        {"repositories": [ReportedRepository(name="core", digest="0" * 64, mirrors=("https://a\n",))]},
    ],
)
def test_check_in_that_makes_no_sense_is_invalid_and_changes_nothing(changes: dict[str, Any]) -> None:
    endpoint, state = factories.endpoint(), factories.state()
    before = Endpoint.objects.values().get()
    with pytest.raises(exceptions.Invalid):
        check_in(endpoint, **({"state": state.digest} | changes))
    assert Endpoint.objects.values().get() == before


def test_check_in_endless_mirrorlist_the_first_ones_are_kept() -> None:
    endpoint, state = factories.endpoint(), factories.state()
    mirrors = [f"https://m{number}/core" for number in range(300)]
    reported = factories.reported_repository(factories.repository(), "core", mirrors)
    check_in(endpoint, state=state.digest, repositories=[reported])
    assert endpoint.repositories.get().mirrors == mirrors[:20]


def test_check_in_deleted_endpoint_is_not_found() -> None:
    endpoint = factories.endpoint()
    Endpoint.objects.all().delete()
    with pytest.raises(exceptions.NotFound):
        check_in(endpoint, state=factories.state().digest)


def test_probe_works() -> None:
    endpoint_manager.probe()
