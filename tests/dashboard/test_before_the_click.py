"""Previews by machine, promoting, repository analysis, and what is asked before a code is deleted."""

import html
import re
from typing import Any

import pytest
from django.test import Client

from apps.fleet import endpoint_manager, pool_manager, sync_coordinator
from apps.fleet.models import Endpoint, EnrolmentCode, Operation, Pool
from tests import factories
from tests.dashboard.confirming import confirm
from tests.dashboard.messages import said

pytestmark = pytest.mark.django_db


def text_of(answer: Any) -> str:
    """What a person reads of it: without tags, each space once."""
    words = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())).split())
    return re.sub(r" (?=[:,.])", "", words)


def page(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, path
    return text_of(answer)


@pytest.fixture
def lab() -> Pool:
    return factories.unlike_machines()


def test_first_target_shows_what_it_does_to_the_machines(staff: Client, lab: Pool) -> None:
    Pool.objects.update(target=None)
    text = page(staff, "/pools/lab/target/old")
    assert "3 of 4 change" in text
    assert "go back at least one package gets an older version 3: good, more, new" in text
    assert "lose packages at least one package is removed 1: more" in text
    assert "No endpoint changes before it is synced." in text


def test_automatic_sync_says_how_many_follow(staff: Client, lab: Pool) -> None:
    pool_manager.change_pool(pool=lab, actor="test", auto_sync=True)
    text = page(staff, "/pools/lab/target/good")
    assert "1 of the 3 that change will follow automatically; 2 wait to be synced by hand." in text
    pool_manager.change_pool(pool=lab, actor="test", conflict_resolution="oldest")
    assert "all 3 that change will follow automatically." in page(staff, "/pools/lab/target/good")


def test_going_back_shows_what_it_does_to_the_machines(reader: Client, lab: Pool) -> None:
    new = Endpoint.objects.get(name="new")
    pool_manager.set_target(pool=lab, endpoint=new, actor="test")
    text = page(reader, "/pools/lab/revisions/1")
    assert "What going back to #1 would do to the machines 3 of 4 change" in text
    assert "would do to the machines" not in page(reader, "/pools/lab/revisions/2")


def test_target_that_waits_for_approval_shows_what_approving_does(reader: Client, lab: Pool) -> None:
    pool_manager.change_pool(pool=lab, actor="test", auto_sync=True, endpoint_targets_need_approval=True)
    old = endpoint_manager.change_rights(endpoint=Endpoint.objects.get(name="old"), may_set_targets=True, actor="test")
    pool_manager.set_target(pool=lab, endpoint=old, setter=old, actor="endpoint:old")
    text = page(reader, "/pools/lab/revisions/2")
    assert "What approving #2 would do to the machines 3 of 4 change" in text


def test_sync_all_shows_what_it_does_and_needs_the_target_that_was_seen(staff: Client, lab: Pool) -> None:
    factories.endpoint("silent", pool=lab)
    answer = staff.get("/pools/lab/sync")
    text = page(staff, "/pools/lab/sync")
    assert (
        "Sync 3 machines of lab?" in text
        and "What a sync of the whole pool would do 3 of 5 change, 1 can't be synced" in text
    )
    assert "Left out: 1 already in sync, 1 can't be compared." in text
    assert "not reported yet their packages aren't known, so no sync is possible 1: silent" in text
    seen = answer.context["form"].initial["expected_number"]
    pool_manager.set_target(pool=lab, endpoint=Endpoint.objects.get(name="new"), actor="test")
    late = staff.post("/pools/lab/sync", {"expected_number": seen})
    assert "The target of lab is now #2" in said(late) and not Operation.objects.exists()
    assert "3 operations created" in said(staff.post("/pools/lab/sync", {"expected_number": 2}))


def test_sync_all_only_machines_that_cannot_be_compared_has_nothing_to_do(staff: Client, lab: Pool) -> None:
    Endpoint.objects.exclude(name="good").update(state=None)
    answer = staff.get("/pools/lab/sync")
    assert "There is nothing to sync: 1 already in sync, 3 can't be compared." in said(answer)


def test_machines_that_cannot_be_compared_keep_nobody_from_being_synced(
    staff: Client, lab: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.dashboard.views.pools.sync.AT_ONCE", 3)
    for number in range(3):
        factories.endpoint(f"a{number}", pool=lab)  # first by name
    assert "3 operations created" in said(confirm(staff, "/pools/lab/sync"))
    assert set(Operation.objects.values_list("endpoint__name", flat=True)) == {"old", "new", "more"}


def test_many_machines_are_cut_after_ten_names_and_listed_on_pages(reader: Client, lab: Pool) -> None:
    for number in range(60):
        factories.reporting_endpoint(f"box{number:02}", pool=lab, state=factories.state("app 1-1"))
    text = page(reader, "/pools/lab/preview")
    assert "63 of 64 change" in text and "box08, box09 and 53 more" in text and "box10" not in text
    link = "/pools/lab/preview?of=revision%3Alab%2F1&amp;machines=changes"
    assert link in reader.get("/pools/lab/preview").content.decode()
    listed = reader.get("/pools/lab/preview?of=revision:lab/1&machines=changes")
    assert "Change: 63 machines" in text_of(listed)
    assert b"/endpoints/box49" in listed.content and b"/endpoints/box50" not in listed.content
    assert b"/endpoints/box55" in reader.get("/pools/lab/preview?machines=changes&page=2").content


def test_preview_of_what_is_not_there_says_so(reader: Client, lab: Pool) -> None:
    factories.pool("empty")
    for query, sentence in (
        ("?of=endpoint:none", "There is no such endpoint."),
        ("?of=revision:lab/7", "There is no such revision."),
        ("?of=state:1", "Name the packages as endpoint:NAME or revision:POOL/NUMBER."),
    ):
        answer = reader.get(f"/pools/lab/preview{query}")
        assert (answer.status_code, answer["Location"]) == (302, "/pools/lab")
        assert sentence in said(answer)
    assert "The pool empty has no target yet." in said(reader.get("/pools/empty/preview"))
    assert "Nothing: the pool has no endpoints." in page(reader, "/pools/empty/preview?of=revision:lab/1")


def test_promote_offers_the_other_pools_that_have_a_target(staff: Client, lab: Pool) -> None:
    factories.pool("bare")
    factories.pool("prod")
    assert "No other pool has a target yet." in page(staff, "/pools/lab/promote")
    text = page(staff, "/pools/prod/promote")
    assert "lab 1 package #1, set" in text and "bare" not in text
    assert "No other pool with a target has “zzz” in its name." in page(staff, "/pools/prod/promote?q=zzz")


def test_promote_shows_what_it_does_then_does_it(staff: Client, lab: Pool) -> None:
    prod = factories.pool("prod")
    factories.reporting_endpoint("p1", pool=prod, state=factories.state("app 3-1"))
    text = page(staff, "/pools/prod/promote/lab")
    assert "Promote target #1 of lab to prod?" in text and "1 of 1 change" in text
    assert "go back at least one package gets an older version 1: p1" in text
    seen = {"expected_number": 0, "expected_source": 1, "comment": "from lab"}
    assert "Target #1 of prod was set: it is #1 of lab." in said(staff.post("/pools/prod/promote/lab", seen))
    prod.refresh_from_db()
    assert prod.target and (prod.target.promoted_from, prod.target.comment) == ("lab", "from lab")
    text = page(staff, "/pools/prod/promote/lab")
    assert "From the current target #1" in text and "Both have the same packages." in text


@pytest.mark.parametrize("late", [{"expected_number": 5}, {"expected_source": 5}, {"expected_source": ""}])
def test_promote_either_target_changed_meanwhile_changes_nothing(
    staff: Client, lab: Pool, late: dict[str, Any]
) -> None:
    prod = factories.pool("prod")
    answer = staff.post("/pools/prod/promote/lab", {"expected_number": 0, "expected_source": 1, "comment": ""} | late)
    assert answer.status_code in (302, 422)
    prod.refresh_from_db()
    assert prod.target is None


def test_promote_itself_or_a_pool_without_target_is_refused(staff: Client, lab: Pool) -> None:
    factories.pool("bare")
    assert "That is the same pool." in said(staff.get("/pools/lab/promote/lab"))
    assert "Pool bare has no target yet." in said(staff.post("/pools/lab/promote/bare"))


def test_analysis_says_who_gets_what(reader: Client, lab: Pool, settings: Any) -> None:
    factories.endpoint("silent", pool=lab)
    text = page(reader, "/pools/lab/analysis")
    assert "4 endpoints that reported their repositories" in text
    assert "silent: no repository was reported" in text
    assert "app 1-1 old 2-1 good, more 3-1 new" in text
    assert "2 of 4 have all of it" in text
    assert "None of" not in text and "new 0" in text
    assert "No endpoint matches." in page(reader, "/pools/lab/analysis?name=zzz")
    assert "No such package is offered in different versions." in page(reader, "/pools/lab/analysis?q=zzz")
    factories.pool("empty")
    assert "This pool has no endpoints." in page(reader, "/pools/empty/analysis")
    settings.ENABLE_REPOSITORY_ANALYSIS = False
    assert "Repository analysis is switched off" in page(reader, "/pools/lab/analysis")


def test_excluded_packages_show_what_they_match_and_another_can_be_tried(reader: Client, lab: Pool) -> None:
    assert "The pool excludes nothing." in page(reader, "/pools/lab/excluded")
    pool_manager.change_pool(pool=lab, actor="test", excluded_packages=["ap*", "gone"])
    text = page(reader, "/pools/lab/excluded")
    assert "ap* 1 managed: app 1: app ×4" in text and "gone nothing nothing" in text
    assert "vi? nothing 1: vim ×1" in page(reader, "/pools/lab/excluded?try=vi%3F")
    refused = reader.get("/pools/lab/excluded?try=*")
    assert refused.status_code == 422
    assert "“*” matches every package, so that nothing would be left for a target." in refused.content.decode()


@pytest.mark.parametrize("pattern", ["*", "linux["])
def test_pool_form_refuses_a_pattern_that_makes_no_sense(staff: Client, lab: Pool, pattern: str) -> None:
    policy = {"name": "lab", "conflict_resolution": "manual", "retention": 50, "excluded_packages": pattern}
    answer = staff.post("/pools/lab/change", policy)
    assert answer.status_code == 422
    assert set(answer.context["form"].errors) == {"excluded_packages"}
    lab.refresh_from_db()
    assert lab.excluded_packages == []


def test_delete_code_asks_first(staff: Client, reader: Client, lab: Pool) -> None:
    code, text = endpoint_manager.create_enrolment_code(actor="user:ada", pool=lab, uses=3)
    endpoint_manager.enroll(code=text, name="first", arch="x86_64")
    path = f"/enrol/{code.pk}/delete"
    assert f'href="{path}"' in staff.get("/enrol").content.decode()
    asked = page(staff, path)
    assert "It was made by ada at" in asked
    assert "1 machine has enrolled with it, and 2 more can into pool lab until" in asked
    assert EnrolmentCode.objects.exists() and text not in asked
    assert reader.get(path).status_code == 403 and reader.post(path).status_code == 403
    staff.post(path)
    assert not EnrolmentCode.objects.exists() and staff.get(path).status_code == 404


@pytest.fixture
def left(lab: Pool) -> Pool:
    """A sync to #1 is queued for `old`; `new` would be, or is, #2."""
    sync_coordinator.create_operation(endpoint=Endpoint.objects.get(name="old"), kind="sync", actor="user:bob")
    return lab


def second_target(pool: Pool) -> None:
    pool_manager.set_target(pool=pool, endpoint=Endpoint.objects.get(name="new"), actor="test")


STAYS = "1 machine still has a queued sync to an earlier target: old. It goes there unless you cancel the queued syncs"


def test_new_target_says_whose_queued_sync_stays(staff: Client, left: Pool) -> None:
    assert STAYS in page(staff, "/pools/lab/target/new")
    assert "/operations?pool=lab&amp;status=queued&amp;kind=sync" in staff.get("/pools/lab/target/new").content.decode()
    other = factories.pool("other")
    factories.target(other, "app 9-1")
    assert STAYS in page(staff, "/pools/lab/promote/other")
    assert "still has a queued sync" not in page(staff, "/pools/lab")  # it is to the target of now


def test_pool_and_sync_all_say_who_has_a_sync_to_an_earlier_target(staff: Client, reader: Client, left: Pool) -> None:
    second_target(left)
    assert STAYS in page(reader, "/pools/lab") and STAYS in page(reader, "/pools/lab/preview")
    assert STAYS in page(staff, "/pools/lab/sync")
    text = page(reader, "/endpoints/old")
    assert "Sync to #1 queued. It begins with the machine's next report." in text
    assert "It goes to target #1; the pool's target is #2 now." in text


def test_going_back_says_which_syncs_it_cancels_above_what_it_does(staff: Client, reader: Client, left: Pool) -> None:
    second_target(left)
    says = "Going back cancels 1 queued sync to another target, no matter who queued it: old."
    text = page(staff, "/pools/lab/revisions/1")
    assert text.count(says) == 1 and "at work" not in text
    assert text.index("Its packages become the target again") < text.index("What going back to #1 would do")
    assert page(reader, "/pools/lab/revisions/1").count(says) == 1
    assert "queued sync" not in page(staff, "/pools/lab/revisions/2")


def test_busy_machine_is_told_apart(staff: Client, lab: Pool) -> None:
    sync_coordinator.create_operation(endpoint=Endpoint.objects.get(name="old"), kind="sync", actor="test")
    text = page(staff, "/pools/lab/sync")
    assert "Sync 2 machines of lab?" in text
    assert "at work an operation is queued or under way; it comes first 1: old" in text
