"""Work on many machines from the list: what is asked, what is done, and who is left out."""

import html
import re
from typing import Any

import pytest
from django.test import Client

from apps.fleet import bulk_actions, pool_manager, sync_coordinator
from apps.fleet.models import AuditEvent, Endpoint, Operation, Pool
from tests import factories
from tests.dashboard.confirming import fields
from tests.dashboard.messages import said

pytestmark = pytest.mark.django_db
BOTH = {"endpoint": ["new", "old"]}


def text_of(answer: Any) -> str:
    words = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())).split())
    return re.sub(r" (?=[:,.])", "", words)


def confirm(client: Client, asked: Any, **instead: str) -> Any:
    """Send the form of the page that asks."""
    assert asked.status_code == 200
    return client.post("/selected/do", fields(asked, "/selected/do") | instead)


@pytest.fixture
def lab() -> Pool:
    """Target #1 is `app 2-1` of `good`; `old` is behind, `new` ahead."""
    pool = factories.pool("lab")
    good = factories.reporting_endpoint("good", pool=pool, state=factories.state("app 2-1"))
    pool_manager.set_target(pool=pool, endpoint=good, actor="test")
    for name, version in {"old": "1-1", "new": "3-1"}.items():
        factories.reporting_endpoint(name, pool=pool, state=factories.state(f"app {version}"))
    return pool


def test_list_has_a_box_for_each_machine_for_staff_only(staff: Client, reader: Client, lab: Pool) -> None:
    page = staff.get("/endpoints").content.decode()
    assert page.count('name="endpoint"') == 3 and 'aria-label="Select old"' in page
    assert "All 3 found" in page
    assert 'name="endpoint"' not in reader.get("/endpoints").content.decode()


def test_sync_asks_with_what_changes_then_queues(staff: Client, lab: Pool) -> None:
    asked = staff.post("/selected", {"action": "sync", "endpoint": ["new", "old", "good"]})
    text = text_of(asked)
    assert "Sync 2 machines?" in text and "Left out: In sync already: good" in text
    assert "Each machine is brought to exactly its pool's target" in text
    assert "by the last reports: ± change: 2 ↓ go back: 1 Sync 2 machines Cancel" in text
    assert "↓ 1" in text and "↑ 1" in text  # what changes on each
    assert not Operation.objects.exists()
    answer = confirm(staff, asked)
    assert answer["Location"] == "/endpoints"
    assert "2 operations created. Machines start at their next check-in." in said(answer)
    assert set(Operation.objects.values_list("endpoint__name", "author")) == {("new", "user:ada"), ("old", "user:ada")}


def test_sync_is_refused_when_the_target_changed_meanwhile(staff: Client, lab: Pool) -> None:
    asked = staff.post("/selected", {"action": "sync", **BOTH})
    pool_manager.set_target(pool=lab, endpoint=Endpoint.objects.get(name="new"), actor="test")
    again = confirm(staff, asked)
    assert again.status_code == 200  # the same question, as things are now
    text = text_of(again)
    assert "Left out: new, old. The target is now #2 of lab, not the one that was shown." in text
    assert "Sync 1 machine?" in text and "In sync already: new" in text
    assert not Operation.objects.exists()
    assert "1 operation created." in said(confirm(staff, again))


def test_sync_of_a_machine_that_was_moved_meanwhile_asks_again(staff: Client, lab: Pool) -> None:
    attic = factories.pool("attic")
    factories.target(attic, "app 7-1")
    asked = staff.post("/selected", {"action": "sync", **BOTH})
    Endpoint.objects.filter(name="old").update(pool=attic)
    again = confirm(staff, asked)
    assert "1 operation created." in text_of(again)
    assert "Left out: old. The target is now #1 of attic, not the one that was shown." in text_of(again)
    assert "Sync 1 machine?" in text_of(again)
    assert Operation.objects.get().endpoint.name == "new"


def test_cancel_of_another_operation_than_was_shown_is_left_out(staff: Client, lab: Pool) -> None:
    confirm(staff, staff.post("/selected", {"action": "sync", **BOTH}))
    asked = staff.post("/selected", {"action": "cancel", **BOTH})
    shown = Operation.objects.get(endpoint__name="old")
    sync_coordinator.cancel(operation=shown, actor="user:bob")
    other, _ = sync_coordinator.create_operation(endpoint=shown.endpoint, kind="sync", actor="user:bob")
    answer = confirm(staff, asked)
    assert "1 operation cancelled. Left out: old. Another operation is now under way." in said(answer)
    other.refresh_from_db()
    assert other.status == "queued"


@pytest.mark.parametrize("action", ["sync", "cancel"])
@pytest.mark.parametrize("shown", [None, "", "1", "\0", "1 2 3"])
def test_form_without_what_was_shown_of_each_asks_again(
    staff: Client, lab: Pool, action: str, shown: str | None
) -> None:
    waits, _ = sync_coordinator.create_operation(
        endpoint=Endpoint.objects.get(name="old"), kind="sync", actor="user:bob"
    )
    data = {"action": action, "names": "new old"} | ({} if shown is None else {"shown": shown})
    answer = staff.post("/selected/do", data)
    assert answer.status_code == 200 and "machine?" in text_of(answer)
    assert Operation.objects.get().status == waits.status == "queued"


def test_same_reason_is_said_once_for_all_machines(staff: Client, lab: Pool) -> None:
    asked = staff.post("/selected", {"action": "sync", **BOTH})
    confirm(staff, asked)
    assert said(confirm(staff, asked)).endswith("check-in. Left out: new, old. An operation is under way.")


def test_what_was_shown_of_each_may_be_any_text(staff: Client, lab: Pool) -> None:
    for shown in ("\0 \0", "-1 x", "9" * 5000 + " \0/1"):
        for action in ("sync", "cancel"):
            assert staff.post("/selected/do", {"action": action, "names": "new old", "shown": shown}).status_code < 400
    assert not Operation.objects.exists()


@pytest.mark.parametrize("path", ["/selected", "/selected/do"])
def test_page_that_only_takes_a_form_leads_to_the_list_when_it_is_opened_again(staff: Client, path: str) -> None:
    assert staff.get(path)["Location"] == "/endpoints"


def test_confirmation_that_names_nobody_is_no_success(staff: Client, lab: Pool) -> None:
    for action in ("sync", "cancel", "forget"):
        assert said(staff.post("/selected/do", {"action": action, "names": ""})).startswith("Nothing was selected")


def test_move_says_what_the_other_pool_means_and_does_it(staff: Client, lab: Pool) -> None:
    attic = factories.pool("attic", auto_sync=True)
    asked = staff.post("/selected", {"action": "move", "pool": "attic", **BOTH})
    assert "Move 2 machines to pool attic?" in text_of(asked)
    assert "From then on the target and the policy of pool attic apply to them." in text_of(asked)
    assert "Its automatic sync is on, and it has no target yet." in text_of(asked)
    assert "2 machines moved to pool attic." in said(confirm(staff, asked))
    assert set(attic.endpoints.values_list("name", flat=True)) == {"new", "old"}
    asked = staff.post("/selected", {"action": "move", "pool": "-", "endpoint": "new"})
    assert "From then on it is in no pool: no target applies to it, and nothing is synced." in text_of(asked)
    assert "1 machine moved to no pool." in said(confirm(staff, asked))


def test_forget_and_cancel_leave_out_what_is_at_work(staff: Client, lab: Pool) -> None:
    confirm(staff, staff.post("/selected", {"action": "sync", **BOTH}))
    factories.applying(Operation.objects.get(endpoint__name="old"))
    asked = staff.post("/selected", {"action": "cancel", "endpoint": ["new", "old", "good"]})
    text = text_of(asked)
    assert "Cancel the operation of 1 machine?" in text and "Cancel 1 operation Leave it" in text
    assert "Pacman is running there, and is never stopped: old" in text
    assert "No operation under way: good" in text
    assert "1 operation cancelled." in said(confirm(staff, asked))
    asked = staff.post("/selected", {"action": "forget", **BOTH})
    assert "Carrying out an operation: old" in text_of(asked)
    assert "Its history, operations and token are deleted" in text_of(asked)
    assert "1 machine forgotten." in said(confirm(staff, asked))
    assert set(Endpoint.objects.values_list("name", flat=True)) == {"good", "old"}


def test_what_changed_meanwhile_is_left_out_and_said(staff: Client, lab: Pool) -> None:
    asked = staff.post("/selected", {"action": "forget", **BOTH})
    Endpoint.objects.filter(name="old").delete()
    answer = confirm(staff, asked)
    assert "1 machine forgotten. Left out: old. There is no such endpoint." in said(answer)


def test_all_that_the_filter_found_are_meant_and_no_other(staff: Client, lab: Pool) -> None:
    factories.reporting_endpoint("stray", state=factories.state())
    asked = staff.post("/selected", {"action": "forget", "all": "1", "words": "pool=lab&status=behind"})
    assert "Forget 1 machine?" in text_of(asked)
    answer = confirm(staff, asked)
    assert answer["Location"] == "/endpoints?pool=lab&status=behind"
    assert set(Endpoint.objects.values_list("name", flat=True)) == {"good", "new", "stray"}


def test_more_than_can_be_done_at_a_time_begins_with_those_for_which_it_can(
    staff: Client, lab: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.dashboard.views.endpoints.selected.MAX_ENDPOINTS", 1)
    asked = staff.post("/selected", {"action": "sync", "all": "1"})
    text = text_of(asked)
    assert "Sync 1 machine?" in text and "At most 1 machine at a time. Select the other 1" in text
    confirm(staff, asked)
    assert Operation.objects.get().endpoint.name == "new"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"action": "sync"}, "Nothing was selected"),
        ({"action": "none", **BOTH}, "There is no such action."),
        ({"action": "move", **BOTH}, "Choose the pool"),
        ({"action": "move", "pool": "nosuch\0", **BOTH}, "There is no pool nosuch."),
        ({"action": "sync", "endpoint": "none\0"}, "Nothing was selected"),
    ],
)
def test_senseless_selection_is_said_and_changes_nothing(
    staff: Client, lab: Pool, data: dict[str, Any], sentence: str
) -> None:
    answer = staff.post("/selected", data)
    assert (answer.status_code, answer["Location"]) == (302, "/endpoints")
    assert sentence in said(answer)
    events = AuditEvent.objects.count()
    staff.post("/selected/do", data | {"names": ""})
    staff.post(
        "/selected/do", {"action": "forget", "names": " ".join(f"m{n}" for n in range(bulk_actions.MAX_ENDPOINTS + 1))}
    )
    staff.post("/selected/do", {"action": "sync", "names": "old", "targets": "x"})
    assert AuditEvent.objects.count() == events and Endpoint.objects.count() == 3


def test_nothing_that_can_be_done_has_no_button(staff: Client, lab: Pool) -> None:
    asked = staff.post("/selected", {"action": "cancel", **BOTH})
    assert "No operation to cancel" in text_of(asked)
    assert "Nothing was changed. It isn't possible for any of the 2 selected machines." in text_of(asked)
    assert "/selected/do" not in asked.content.decode()


def test_queries_of_the_question_do_not_grow(staff: Client, lab: Pool, django_assert_max_num_queries: Any) -> None:
    for number in range(20):
        factories.reporting_endpoint(pool=lab, state=factories.state(f"app 1-1.{number}"))
    with django_assert_max_num_queries(27):
        staff.post("/selected", {"action": "sync", "all": "1"})


def test_sync_of_machines_that_would_lose_something_or_are_off_says_how_many(staff: Client, lab: Pool) -> None:
    """In whatever pools they are; those that aren't ticked don't count."""
    other = factories.pool("other")
    factories.target(other, "app 2-1")
    for name, pool, packages in (("o1", other, ["app 1-1", "vim 1-1"]), ("l1", lab, ["app 3-1", "vim 1-1"])):
        factories.reporting_endpoint(name, pool=pool, state=factories.state(*packages))
    Endpoint.objects.filter(name="l1").update(last_seen=None)
    text = text_of(staff.post("/selected", {"action": "sync", "endpoint": ["old", "o1", "l1"]}))
    assert "± change: 3 ↓ go back: 1 − lose packages: 2 ○ offline: 1 Sync 3 machines" in text
    one = text_of(staff.post("/selected", {"action": "sync", "endpoint": "old"}))
    assert "What a sync does, by the last report: ± change: 1 Sync 1 machine" in one


def test_machines_of_more_pools_than_are_compared_are_counted_as_that(
    staff: Client, lab: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = factories.pool("other")
    factories.target(other, "app 2-1")
    factories.reporting_endpoint("o1", pool=other, state=factories.state("app 1-1"))
    monkeypatch.setattr("apps.fleet.forecast_many.POOLS", 1)
    text = text_of(staff.post("/selected", {"action": "sync", "endpoint": ["old", "new", "o1"]}))
    assert "± change: 2 ↓ go back: 1 ? not compared: 1 Sync 3 machines" in text


def test_sync_and_move_that_are_possible_with_none_say_why_in_one_list(staff: Client, lab: Pool) -> None:
    for name in ("n1", "n2"):
        factories.reporting_endpoint(name, state=factories.state())
    text = text_of(staff.post("/selected", {"action": "sync", "endpoint": ["n1", "n2"]}))
    assert "No machine to sync" in text and "In no pool: n1, n2" in text
    factories.applying(many_sync("old"))
    text = text_of(staff.post("/selected", {"action": "cancel", "endpoint": ["old", "new"]}))
    assert "No operation to cancel" in text and "Leave" not in text


def many_sync(name: str) -> Operation:
    bulk_actions.carry_out(bulk_actions.Action.SYNC, [name], actor="test")
    return Operation.objects.get(endpoint__name=name)
