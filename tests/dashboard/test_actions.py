"""What staff can do: each action is done by a manager, and a refusal is a sentence on the next page."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.db.models.functions import Now
from django.test import Client

from apps.fleet import endpoint_manager, one_by_one, pool_manager, sync_coordinator
from apps.fleet.models import AuditEvent, Endpoint, EnrolmentCode, Operation, Pool
from apps.fleet.tokens import hash_of
from tests import factories
from tests.dashboard.confirming import confirm, fields, seen, sync

SHOWN = {"idempotency_key": str(uuid.uuid4()), "shown": "1"}
POLICY = {"conflict_resolution": "newest", "retention": 7, "excluded_packages": "linux* \r\n nvidia", "auto_sync": "on"}


def said(answer: Any) -> str:
    """The messages that the answer left for the next page."""
    return " ".join(str(message) for message in get_messages(answer.wsgi_request))


@pytest.fixture
def pool(db: None) -> Pool:
    """Pool `lab`, target #1 is `app 2-1`, and its endpoint `box` has `app 1-1`."""
    made = factories.pool("lab")
    factories.reporting_endpoint("box", pool=made, state=factories.state("app 1-1"))
    factories.target(made, "app 2-1")
    return made


def test_create_pool_form_makes_it_with_its_policy(staff: Client) -> None:
    answer = staff.post("/create-pool", {"name": "lab", "description": "basement", **POLICY})
    assert (answer.status_code, answer["Location"]) == (302, "/pools/lab")
    made = Pool.objects.get(name="lab")
    assert (made.auto_sync, made.endpoint_targets_need_approval, made.retention) == (True, False, 7)
    assert made.excluded_packages == ["linux*", "nvidia"]
    assert AuditEvent.objects.get(verb="create").actor == "user:ada"


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"name": "lab"}, "There is a pool with the name lab already."),
        ({"name": "a/b"}, "A name has 1 to 63 letters"),
        ({"name": "x", "retention": 100_000}, "retention must be a whole number from 1 to 10000."),
        ({"name": "x", "retention": ""}, "This field is required."),
        ({"name": "x", "conflict_resolution": "none"}, "Select a valid choice."),
        ({"name": "x", "excluded_packages": "a" * 300}, "excluded_packages is longer than 255 characters."),
        ({"name": "x", "description": "two\nlines"}, "description has characters that can"),
    ],
)
def test_create_pool_refused_says_why_at_the_form(
    staff: Client, pool: Pool, changed: dict[str, Any], sentence: str
) -> None:
    answer = staff.post("/create-pool", {**POLICY, **changed})
    assert answer.status_code == 422
    assert sentence in answer.content.decode()
    assert Pool.objects.count() == 1


def test_create_pool_refused_for_several_reasons_says_all_of_them(staff: Client, pool: Pool) -> None:
    wrong = {"name": "lab", "description": "two\nlines", "retention": 100_000, "conflict_resolution": "none"}
    page = staff.post("/create-pool", {**POLICY, **wrong, "excluded_packages": "a" * 300}).content.decode()
    for sentence in (
        "There is a pool with the name lab already.",
        "description has characters that can",
        "retention must be a whole number from 1 to 10000.",
        "Select a valid choice.",
        "excluded_packages is longer than 255 characters.",
    ):
        assert page.count(sentence) == 1, sentence


def test_change_pool_renamed_is_shown_under_its_new_name(staff: Client, pool: Pool) -> None:
    answer = staff.post("/pools/lab/change", {"name": "cellar", **POLICY})
    assert (answer.status_code, answer["Location"]) == (302, "/pools/cellar")
    event = AuditEvent.objects.get(verb="change")
    assert (event.before["name"], event.after["name"]) == ("lab", "cellar")


def test_change_pool_form_shows_what_is_set(staff: Client) -> None:
    factories.pool("lab", excluded_packages=["linux*", "nvidia"], endpoint_targets_need_approval=False)
    page = staff.get("/pools/lab/change").content.decode()
    assert "linux*\nnvidia</textarea>" in page
    assert (
        'name="endpoint_targets_need_approval" aria-describedby="id_endpoint_targets_need_approval_helptext" id='
        in page
    )


def test_delete_pool_with_endpoints_is_refused(staff: Client, pool: Pool) -> None:
    answer = staff.post("/pools/lab/delete")
    assert answer["Location"] == "/pools/lab"
    assert "Endpoints are assigned to the pool lab" in said(answer)


def test_delete_pool_with_endpoints_says_how_many_and_has_no_button(staff: Client, pool: Pool) -> None:
    factories.endpoint("one-more", pool=pool)
    count = pool.endpoints.count()
    page = staff.get("/pools/lab/delete").content.decode()
    assert f"It still has {count} endpoints; give them another pool first." in page
    assert "Delete the pool" not in page and ">Back</a>" in page


@pytest.mark.parametrize(
    ("revisions", "said"),
    [
        (0, "It has no target revisions and no endpoints. There is no way back."),
        (1, "Its 1 target revision goes with it, and there is no way back."),
        (2, "Its 2 target revisions go with it, and there is no way back."),
    ],
)
def test_delete_pool_says_what_goes_with_it(staff: Client, revisions: int, said: str) -> None:
    pool = factories.pool("old")
    for number in range(revisions):
        factories.target(pool, f"app {number}-1")
    Endpoint.objects.update(pool=None)
    page = staff.get("/pools/old/delete").content.decode()
    assert said in page and "Delete the pool" in page


def test_delete_pool_empty_is_gone(staff: Client) -> None:
    factories.pool("lab")
    assert staff.get("/pools/lab/delete").status_code == 200
    assert Pool.objects.exists()
    assert staff.post("/pools/lab/delete")["Location"] == "/"
    assert not Pool.objects.exists()


def test_create_code_shown_once_and_only_its_hash_kept(staff: Client, pool: Pool) -> None:
    answer = staff.post("/enrol", {"pool": "lab", "uses": 3, "valid_for": 3600})
    text = answer.context["text"]
    made = EnrolmentCode.objects.get()
    assert (made.pool, made.uses, made.code_hash) == (pool, 3, hash_of(text))
    page = answer.content.decode()
    assert f"enroll --server http://testserver --code {text}" in page
    assert "no-store" in answer["Cache-Control"]
    assert text not in staff.get("/enrol").content.decode()


def test_create_code_senseless_is_said(staff: Client) -> None:
    answer = staff.post("/enrol", {"pool": "none", "uses": 0, "valid_for": 5})
    assert answer.status_code == 422
    assert set(answer.context["form"].errors) == {"pool", "uses", "valid_for"}
    assert not EnrolmentCode.objects.exists()


def test_delete_code_is_gone(staff: Client) -> None:
    code, _ = endpoint_manager.create_enrolment_code(actor="test")
    assert "no machine can enrol" in said(staff.post(f"/enrol/{code.pk}/delete"))
    assert not EnrolmentCode.objects.exists()
    assert staff.post(f"/enrol/{code.pk}/delete").status_code == 404


def test_assign_endpoint_is_moved(staff: Client, pool: Pool) -> None:
    factories.endpoint("stray")
    assert "stray is now in pool lab." in said(staff.post("/endpoints/stray/pool", {"pool": "lab"}))
    assert Endpoint.objects.get(name="stray").pool == pool
    assert "stray is now in no pool." in said(staff.post("/endpoints/stray/pool", {"pool": ""}))
    assert Endpoint.objects.get(name="stray").pool is None


def test_assign_endpoint_unknown_pool_changes_nothing(staff: Client, pool: Pool) -> None:
    assert "does not exist any more" in said(staff.post("/endpoints/box/pool", {"pool": "none"}))
    assert Endpoint.objects.get(name="box").pool == pool


def test_sync_endpoint_makes_one_operation_however_often_clicked(staff: Client, pool: Pool) -> None:
    form = fields(staff.get("/endpoints/box"), "/endpoints/box/sync")
    answers = [staff.post("/endpoints/box/sync", form) for _ in range(2)]
    operation = Operation.objects.get()
    assert [answer["Location"] for answer in answers] == [f"/operations/{operation.pk}"] * 2
    assert (operation.kind, operation.author) == ("sync", "user:ada")


def test_sync_endpoint_already_under_way_is_refused(staff: Client, pool: Pool) -> None:
    form = fields(staff.get("/endpoints/box"), "/endpoints/box/sync")
    staff.post("/endpoints/box/sync", form)
    answer = staff.post("/endpoints/box/sync", form | {"idempotency_key": str(uuid.uuid4())})
    assert answer["Location"] == "/endpoints/box"
    assert said(answer)
    assert Operation.objects.count() == 1


def test_endpoint_page_sync_offered_only_where_it_changes_something(staff: Client, pool: Pool) -> None:
    assert staff.get("/endpoints/box").context["can_sync"]
    factories.reporting_endpoint("good", pool=pool, state=factories.state("app 2-1"))
    assert not staff.get("/endpoints/good").context["can_sync"]
    sync(staff, "box")
    assert not staff.get("/endpoints/box").context["can_sync"]


def test_revert_nothing_to_take_back_is_refused(staff: Client, pool: Pool) -> None:
    for answer in (staff.get("/endpoints/box/revert"), staff.post("/endpoints/box/revert", SHOWN)):
        assert answer["Location"] == "/endpoints/box"
        assert "no sync to take back" in said(answer)


def test_revert_after_a_sync_shows_what_and_does_it(staff: Client, pool: Pool) -> None:
    synced = factories.synced(Endpoint.objects.get(name="box"))
    page = staff.get("/endpoints/box/revert")
    assert page.status_code == 200
    assert [change.kind for change in page.context["difference"]["changes"]] == ["downgrade"]
    confirm(staff, "/endpoints/box/revert")
    assert Operation.objects.get(kind="revert").reverts == synced


def test_sync_of_another_target_than_was_shown_asks_again(staff: Client, pool: Pool) -> None:
    form = fields(staff.get("/endpoints/box"), "/endpoints/box/sync")
    factories.target(pool, "app 3-1")
    answer = staff.post("/endpoints/box/sync", form)
    assert answer["Location"] == "/endpoints/box"
    assert "The target is #2 of lab by now, another one than was shown." in said(answer)
    for incomplete in ({}, {"idempotency_key": form["idempotency_key"]}, {"shown": form["shown"]}):
        assert "The form didn't say what was shown." in said(staff.post("/endpoints/box/sync", incomplete))
    assert not Operation.objects.exists()
    sync(staff, "box")
    assert Operation.objects.select_related("revision").get().revision.number == 2  # type: ignore[union-attr] # a sync has one


def test_revert_of_another_sync_than_was_shown_asks_again(staff: Client, pool: Pool) -> None:
    path = "/endpoints/box/revert"
    factories.synced(Endpoint.objects.get(name="box"))
    Operation.objects.update(created=Now() - timedelta(hours=1), finished=Now() - timedelta(hours=1))
    form = seen(staff, path)
    factories.target(pool, "app 3-1")
    newest = factories.synced(Endpoint.objects.get(name="box"))
    answer = staff.post(path, form)
    assert answer["Location"] == path and "The sync that would be taken back is another one by now" in said(answer)
    assert "The form didn't say what was shown." in said(staff.post(path, {}))
    assert not Operation.objects.filter(kind="revert").exists()
    confirm(staff, path)
    assert Operation.objects.get(kind="revert").reverts == newest


@pytest.mark.parametrize("number", [None, "", "abc", "-1", "9" * 5000, "0"])
def test_sync_all_without_the_number_that_was_shown_asks_again(staff: Client, pool: Pool, number: str | None) -> None:
    answer = staff.post("/pools/lab/sync", {} if number is None else {"expected_number": number})
    assert answer["Location"] == "/pools/lab/sync" and said(answer)
    assert not Operation.objects.exists()


def changes_the_target(monkeypatch: pytest.MonkeyPatch, pool: Pool) -> None:
    """Before the second operation of a batch, somebody else goes back to #1."""
    create, calls = sync_coordinator.create_operation, []

    def meanwhile(**arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 2:
            pool_manager.go_back(pool=pool, number=1, actor="user:bob")
        return create(**arguments)

    monkeypatch.setattr(sync_coordinator, "create_operation", meanwhile)


def test_sync_all_whose_target_changes_meanwhile_stops_and_asks_again(
    staff: Client, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    factories.target(pool, "app 3-1")
    for number in range(2):
        factories.reporting_endpoint(f"more{number}", pool=pool, state=factories.state(f"app 1-{number}"))
    form = seen(staff, "/pools/lab/sync")
    changes_the_target(monkeypatch, pool)
    answer = staff.post("/pools/lab/sync", form)
    assert answer["Location"] == "/pools/lab/sync"
    assert "1 operation created" in said(answer)
    assert "3 not queued: The target is #3 of lab by now, another one than was shown." in said(answer)
    assert set(Operation.objects.values_list("revision__number", flat=True)) == {2}


def test_sync_all_without_time_left_counts_the_rest_as_waiting(
    staff: Client, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    factories.reporting_endpoint("box2", pool=pool, state=factories.state("app 1-2"))
    form = seen(staff, "/pools/lab/sync")
    spent = iter([0.4, 0.4, 0.8])
    monkeypatch.setattr(one_by_one.time_limit, "spent", lambda: next(spent, 0.8))
    answer = staff.post("/pools/lab/sync", form)
    assert "1 operation created" in said(answer) and "1 more are waiting: press Sync all again." in said(answer)
    assert "not queued" not in said(answer) and Operation.objects.count() == 1


def test_sync_all_queues_each_that_is_not_in_sync(staff: Client, pool: Pool) -> None:
    factories.reporting_endpoint("box2", pool=pool, state=factories.state("app 3-1"))
    page = staff.get("/pools/lab/sync")
    assert page.context["counts"] == {"behind": 1, "ahead": 1}
    said_then = said(confirm(staff, "/pools/lab/sync"))
    assert "2 operations created, 1 already in sync. Machines start at their next check-in." in said_then
    assert sorted(Operation.objects.values_list("endpoint__name", flat=True)) == ["box", "box2"]
    again = said(staff.get("/pools/lab/sync"))
    assert "There is nothing to sync: 1 already in sync, 2 have an operation under way." in again


def test_sync_all_offline_counts_by_its_packages(staff: Client, pool: Pool) -> None:
    factories.reporting_endpoint("there", pool=pool, state=factories.state("app 2-1"))
    Endpoint.objects.update(last_seen=Now() - timedelta(days=1))
    assert staff.get("/pools/lab/sync").context["counts"] == {"behind": 1}
    assert "1 operation created, 2 already in sync." in said(confirm(staff, "/pools/lab/sync"))
    assert list(Operation.objects.values_list("endpoint__name", flat=True)) == ["box"]


def test_sync_all_one_refused_says_so_and_does_the_rest(staff: Client, pool: Pool) -> None:
    factories.endpoint("silent", pool=pool)
    answer = confirm(staff, "/pools/lab/sync")
    assert "1 operation created" in said(answer)
    assert "1 not queued: It has not reported its packages yet." in said(answer)


def test_sync_all_no_target_has_nothing_to_do(staff: Client) -> None:
    factories.reporting_endpoint("box", pool=factories.pool("lab"), state=factories.state())
    answer = staff.get("/pools/lab/sync")
    assert answer["Location"] == "/pools/lab"
    assert "no target" in said(answer)


def test_set_target_shows_the_change_then_does_it(staff: Client, pool: Pool) -> None:
    page = staff.get("/pools/lab/target/box")
    assert [change.kind for change in page.context["difference"]["changes"]] == ["downgrade"]
    answer = confirm(staff, "/pools/lab/target/box", comment="older is better")
    assert "Target #2 of lab was set." in said(answer)
    pool.refresh_from_db()
    assert pool.target and (pool.target.number, pool.target.comment) == (2, "older is better")


def test_set_target_same_again_changes_nothing(staff: Client, pool: Pool) -> None:
    confirm(staff, "/pools/lab/target/box")
    answer = confirm(staff, "/pools/lab/target/box")
    assert "Nothing was changed: target #2 of lab has exactly that." in said(answer)
    assert pool.revisions.count() == 2


def test_set_target_somebody_was_faster_is_refused(staff: Client, pool: Pool) -> None:
    answer = confirm(staff, "/pools/lab/target/box", expected_number=0)
    assert "is revision 1 by now" in said(answer)
    pool.refresh_from_db()
    assert pool.target and pool.target.number == 1


def test_set_target_of_another_machine_state_than_was_shown_asks_again(staff: Client, pool: Pool) -> None:
    path = "/pools/lab/target/box"
    shown = seen(staff, path)
    box = Endpoint.objects.get(name="box")
    factories.report(box, factories.state("app 3-1"))
    answer = staff.post(path, shown)
    assert answer["Location"] == path and "box would give another target by now" in said(answer)
    assert pool.revisions.count() == 1
    both = factories.state("app 3-1", "vim 1-1")
    factories.report(box, both)
    shown = seen(staff, path)
    factories.report(box, both, holds=["vim"])  # the same packages, and one of them left out
    assert "box would give another target by now" in said(staff.post(path, shown))
    assert pool.revisions.count() == 1
    factories.report(box, both)
    assert "Target #2 of lab was set." in said(staff.post(path, shown))


def test_set_target_form_without_what_was_shown_changes_nothing(staff: Client, pool: Pool) -> None:
    assert staff.post("/pools/lab/target/box", {"expected_number": 1}).status_code == 422
    assert staff.post("/pools/lab/target/box", {"expected_digest": "0" * 64}).status_code == 422
    assert pool.revisions.count() == 1


def test_set_target_silent_endpoint_is_refused(staff: Client, pool: Pool) -> None:
    factories.endpoint("silent", pool=pool)
    answer = staff.get("/pools/lab/target/silent")
    assert answer["Location"] == "/pools/lab/target"
    assert "has not reported" in said(answer)


def test_set_target_endpoint_of_another_pool_is_404(staff: Client, pool: Pool) -> None:
    factories.reporting_endpoint("stray", state=factories.state())
    assert staff.get("/pools/lab/target/stray").status_code == 404


def test_go_back_makes_a_new_revision(staff: Client, pool: Pool) -> None:
    confirm(staff, "/pools/lab/target/box")
    page = staff.get("/pools/lab/revisions/1")
    assert [change.kind for change in page.context["difference"]["changes"]] == ["upgrade"]
    answer = staff.post("/pools/lab/revisions/1/go-back", {"expected_number": 2, "comment": ""})
    assert "Target #3 of lab was set." in said(answer)
    pool.refresh_from_db()
    assert pool.target and pool.target.copied_number == 1


@pytest.mark.parametrize("data", [{}, {"expected_number": 0}, {"expected_number": 1, "comment": "x" * 501}])
def test_go_back_outdated_or_incomplete_form_changes_nothing(staff: Client, pool: Pool, data: dict[str, Any]) -> None:
    answer = staff.post("/pools/lab/revisions/1/go-back", data)
    assert answer["Location"] == "/pools/lab/revisions/1"
    assert said(answer)
    pool.refresh_from_db()
    assert pool.target and pool.target.number == 1


@pytest.mark.parametrize("make", [factories.queued, factories.leased])
def test_cancel_operation_before_pacman_is_cancelled(staff: Client, make: Callable[[], Operation]) -> None:
    operation = make()
    assert "Cancel it" in staff.get(f"/operations/{operation.pk}").content.decode()
    assert "was cancelled" in said(staff.post(f"/operations/{operation.pk}/cancel"))
    operation.refresh_from_db()
    assert operation.status == "cancelled"
    page = staff.get(f"/operations/{operation.pk}").content.decode()
    assert ">Cancelled by ada.</p>" in page


def test_cancel_applying_operation_is_refused(staff: Client) -> None:
    operation = factories.applying()
    assert "Cancel it" not in staff.get(f"/operations/{operation.pk}").content.decode()
    assert said(staff.post(f"/operations/{operation.pk}/cancel"))
    operation.refresh_from_db()
    assert operation.status == "applying"


def test_forget_endpoint_is_gone(staff: Client, pool: Pool) -> None:
    assert staff.get("/endpoints/box/delete").status_code == 200
    assert "box was forgotten" in said(staff.post("/endpoints/box/delete"))
    assert not Endpoint.objects.filter(name="box").exists()


def test_forget_endpoint_while_leased_is_refused(staff: Client) -> None:
    operation = factories.leased()
    answer = staff.post(f"/endpoints/{operation.endpoint.name}/delete")
    assert answer["Location"] == f"/endpoints/{operation.endpoint.name}"
    assert said(answer)
    assert Endpoint.objects.filter(pk=operation.endpoint.pk).exists()


def test_operation_page_shows_the_agents_words(staff: Client) -> None:
    operation = factories.leased()
    sync_coordinator.finish(
        operation_id=operation.pk,
        endpoint=operation.endpoint,
        lease_token=operation.lease_token or uuid.uuid4(),
        outcome="failed",
        seq=operation.endpoint.report_seq + 1,
        state=operation.base_state_id,
        code="file_conflict",
        message="<b>conflicting files</b>",
        hint="Move `/usr/bin/app` <away>.",
        log_tail="error: failed to commit",
    )
    page = staff.get(f"/operations/{operation.pk}").content.decode()
    assert "&lt;b&gt;conflicting files&lt;/b&gt;" in page
    assert "error: failed to commit" in page
    assert "What to do: Move <code>/usr/bin/app</code> &lt;away&gt;." in page
