"""Sentences on pages are true of the thing that they are about."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.test import Client

from apps.dashboard.presentation.status_badges import badge_of
from apps.fleet import pool_manager, sync_coordinator
from apps.fleet.models import Endpoint, Operation, Pool
from tests import factories


def text_of(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


@pytest.fixture
def lab(db: None) -> Pool:
    """Pool `lab` with the target `app 2-1`, `lib 2-1`."""
    pool = factories.pool("lab")
    factories.target(pool, "app 2-1", "lib 2-1")
    return pool


@pytest.fixture
def resting(lab: Pool) -> Operation:
    """The cancelled sync of `box`, after which automatic sync rests."""
    box = factories.reporting_endpoint("box", pool=lab, state=factories.state("app 1-1", "lib 2-1"))
    operation, _ = sync_coordinator.create_operation(endpoint=box, kind="sync", actor="user:ada")
    sync_coordinator.cancel(operation=operation, actor="user:ada")
    pool_manager.change_pool(pool=lab, actor="test", auto_sync=True)
    return operation


def test_diverged_that_has_nothing_older_does_not_say_so(staff: Client, lab: Pool) -> None:
    factories.reporting_endpoint("box", pool=lab, state=factories.state("app 2-1", "extra 1-1"))
    page = text_of(staff, "/endpoints/box")
    assert "Compared with target #1, 1 package is missing and 1 not in it." in page
    assert "some are newer" not in page


def test_unknown_that_has_reported_does_not_deny_it(staff: Client, lab: Pool) -> None:
    factories.reporting_endpoint("stray", state=factories.state())
    page = text_of(staff, "/endpoints/stray")
    assert "It is in no pool, so there is no target to compare it with." in page
    assert "not reported" not in page


def test_other_architecture_is_said_and_no_zeros(staff: Client, lab: Pool) -> None:
    factories.report(factories.endpoint("arm", pool=lab, arch="aarch64"), factories.state("app 1-1 aarch64"))
    page = text_of(staff, "/endpoints/arm")
    assert "It is aarch64, and the target of pool lab is for x86_64." in page
    assert "Difference to target" not in page
    assert "not compared" in text_of(staff, "/endpoints")


def test_difference_of_an_offline_machine_is_by_its_last_report(staff: Client, lab: Pool) -> None:
    box = factories.reporting_endpoint("box", pool=lab, state=factories.state("app 2-1", "lib 2-1"))
    Endpoint.objects.filter(pk=box.pk).update(last_seen=Now() - timedelta(days=5))
    page = re.sub("<[^>]+>", "", text_of(staff, "/endpoints/box"))
    assert "None at its last report, 5 d ago: it had exactly the target." in page
    assert "It has exactly the target" not in page
    factories.target(lab, "app 3-1", "lib 2-1")
    page = text_of(staff, "/endpoints/box")
    assert "What a sync would do, by its last report" in page and "What a sync would do now" not in page


def test_in_sync_names_what_is_kept_only_where_something_is(staff: Client, lab: Pool) -> None:
    box = factories.reporting_endpoint("box", pool=lab, state=factories.state("app 2-1", "lib 2-1"))
    assert "None. It has exactly the target.</p>" in text_of(staff, "/endpoints/box")
    factories.report(box, factories.state("app 1-1", "lib 2-1"), holds=["app"])
    assert "None. It has exactly the target, apart from the packages kept below." in text_of(staff, "/endpoints/box")


def kept_part(client: Client) -> str:
    page = text_of(client, "/endpoints/box")
    part = page[page.index('id="kept"') : page.index('id="operations"')]
    return " ".join(re.sub("<[^>]+>", " ", part).split())


def test_kept_names_the_kinds_that_there_are_and_says_once_that_there_are_none(staff: Client, lab: Pool) -> None:
    box = factories.reporting_endpoint("box", pool=lab, state=factories.state("app 2-1", "lib 2-1"))
    assert kept_part(staff).count("None") == 1 and "None: every package follows the target." in kept_part(staff)
    factories.report(box, factories.state("app 1-1", "lib 2-1"), holds=["app"])
    assert "Held by the machine app" in kept_part(staff)
    assert "Foreign" not in kept_part(staff) and "none" not in kept_part(staff).lower()


def test_kept_before_the_first_report_claims_nothing_of_a_target(staff: Client, lab: Pool) -> None:
    factories.endpoint("box", pool=lab)
    assert "It has reported no held or foreign packages." in kept_part(staff)


def test_counts_of_one_are_singular(staff: Client, lab: Pool) -> None:
    other = factories.pool("other")
    factories.target(other, "app 2-1")
    factories.reporting_endpoint("box", pool=lab, state=factories.state("app 2-1"))
    assert "The 1 package of <a" in text_of(staff, "/pools/lab/promote/other")
    assert ">1 package</a>" in text_of(staff, "/pools/lab/promote")
    assert ">1 package</a>" in text_of(staff, "/pools/lab/target")


def test_resting_says_why_and_staff_resume_it(staff: Client, resting: Operation) -> None:
    page = text_of(staff, "/endpoints/box")
    assert "Automatic sync rests here:" in page and f'href="/operations/{resting.pk}">was cancelled</a>' in page
    assert staff.post("/endpoints/box/resume")["Location"] == "/endpoints/box"
    page = text_of(staff, "/endpoints/box")
    assert "Automatic sync of box resumes at its next check-in." in page
    assert "rests here" not in page
    factories.report(Endpoint.objects.get(name="box"), factories.state("app 1-1", "lib 2-1"))
    assert Operation.objects.active().filter(author="policy:lab").exists()


def test_rolled_back_says_so_and_where_it_comes_from(staff: Client, lab: Pool) -> None:
    pool_manager.change_pool(pool=lab, actor="test", auto_sync=True)
    box = factories.reporting_endpoint("box", pool=lab, state=factories.state("app 1-1", "lib 2-1"))
    sync = Operation.objects.active().get(endpoint=box)
    factories.finish(factories.applying(sync))
    factories.report(box, factories.state("app 1-1", "lib 2-1"))
    page = re.sub("<[^>]+>", "", text_of(staff, "/endpoints/box"))
    assert "the machine is back in the state before its last sync, and no operation brought it there" in page
    assert f"/operations/{sync.pk}" in text_of(staff, "/endpoints/box")
    assert "was rolled back to the state before its last sync, without an operation" in text_of(staff, "/audit")
    assert staff.post("/endpoints/box/resume")["Location"] == "/endpoints/box"
    assert "rests here" not in text_of(staff, "/endpoints/box")


def test_resting_reader_is_told_who_may_resume(reader: Client, resting: Operation) -> None:
    page = text_of(reader, "/endpoints/box")
    assert "or when an operator resumes it." in page and "/resume" not in page


def test_endpoint_page_says_why_its_last_sync_failed_until_it_is_where_it_should_be(staff: Client, lab: Pool) -> None:
    box = factories.reporting_endpoint("box", pool=lab, state=factories.state("app 1-1", "lib 2-1"))
    operation, _ = sync_coordinator.create_operation(endpoint=box, kind="sync", actor="test")
    base = operation.base_state
    factories.finish(factories.applying(operation), state=base, outcome="failed", code="package_unavailable")
    page = text_of(staff, "/endpoints/box")
    assert f'The last sync <a href="/operations/{operation.pk}">failed</a></strong>' in page
    assert ": It was package_unavailable.</p>" in page
    factories.report(box, factories.state("app 2-1", "lib 2-1"))
    assert "The last sync" not in text_of(staff, "/endpoints/box")


def test_login_sends_to_an_administrator_only_where_there_is_one(client: Client, db: Any) -> None:
    User.objects.create_user("vic")
    assert "There is no administrator yet." in text_of(client, "/login")
    User.objects.create_superuser("ada")
    page = text_of(client, "/login")
    assert "An administrator can create one for you." in page and "createsuperuser" not in page


def test_every_moment_has_its_zone(staff: Client, resting: Operation) -> None:
    revert_of = factories.reporting_endpoint("other", pool=resting.endpoint.pool, state=factories.state("app 1-1"))
    Pool.objects.update(auto_sync=False)
    sync_coordinator.cancel(operation=Operation.objects.active().get(), actor="test")
    factories.synced(revert_of)
    assert " UTC. Foreign, held and excluded packages" in text_of(staff, "/endpoints/other/revert")


def test_pool_page_counts_those_whose_last_operation_went_wrong(reader: Client, lab: Pool) -> None:
    assert "whose last operation" not in text_of(reader, "/pools/lab")
    for name in ("one", "two", "three"):
        box = factories.reporting_endpoint(name, pool=lab, state=factories.state("app 1-1", "lib 2-1"))
        operation, _ = sync_coordinator.create_operation(endpoint=box, kind="sync", actor="test")
        base = operation.base_state
        if name != "three":
            factories.finish(factories.applying(operation), state=base, outcome="failed", code="pacman_failed")
        else:
            Operation.objects.filter(pk=operation.pk).update(status="lost", finished=Now())
    page = text_of(reader, "/pools/lab")
    for result, words in (("failed", "2 whose last operation failed"), ("lost", "1 whose last operation was lost")):
        assert f'<a href="/endpoints?pool=lab&amp;last_result={result}">{words}</a>' in page
        listed = text_of(reader, f"/endpoints?pool=lab&last_result={result}")
        assert ('href="/endpoints/three"' in listed) is (result == "lost")


def test_pool_and_endpoint_page_say_that_health_commands_failed(reader: Client, lab: Pool) -> None:
    box = factories.reporting_endpoint("box", pool=lab, state=factories.state("app 1-1", "lib 2-1"))
    operation, _ = sync_coordinator.create_operation(endpoint=box, kind="sync", actor="test")
    factories.finish(factories.applying(operation), code="health_check_failed")
    link = '<a href="/endpoints?pool=lab&amp;last_result=unhealthy">1 whose health commands failed after it</a>'
    assert link in text_of(reader, "/pools/lab")
    assert 'href="/endpoints/box"' in text_of(reader, "/endpoints?pool=lab&last_result=unhealthy")
    notice = "The last sync <a"
    assert notice not in text_of(reader, "/endpoints/box")  # it has reported no such problem since
    problem = factories.problem("health_check_failed", "10-nginx")
    factories.report(box, operation.target_state, examination=[problem])
    page = text_of(reader, "/endpoints/box")
    assert notice in page and problem["text"] in page


@pytest.mark.parametrize(("seconds", "words"), [(60, "minute"), (5, "5 seconds"), (600, "10 minutes")])
def test_enrol_page_says_how_often_a_machine_reports(staff: Client, settings: Any, seconds: int, words: str) -> None:
    settings.POLL_SECONDS = seconds
    made = staff.post("/enrol", {"uses": 1, "valid_for": 3600}).content.decode()
    assert f"It reports every {words}, and carries out what you have queued for it." in " ".join(made.split())


@pytest.mark.parametrize("status", ["diverged", "in_sync", "resting"])
def test_meaning_of_a_label_is_true_of_everything_that_has_it(status: str) -> None:
    """Diverged may be only install reasons; in sync may hold packages; what rests may have been cancelled."""
    said = badge_of(status).meaning
    assert "direction" not in said and "exactly" not in said
    assert status != "resting" or "cancelled" in said
