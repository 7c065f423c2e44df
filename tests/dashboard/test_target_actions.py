"""Targets that staff set or go back to: what was shown is what is done, or it is asked again."""

from typing import Any

import pytest
from django.test import Client

from apps.fleet.models import Endpoint, Pool
from tests import factories
from tests.dashboard.confirming import confirm, seen
from tests.dashboard.messages import said


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
    assert "Nothing was changed: target #2 of lab has these packages." in said(answer)
    assert pool.revisions.count() == 2


def test_set_target_somebody_was_faster_is_refused(staff: Client, pool: Pool) -> None:
    answer = confirm(staff, "/pools/lab/target/box", expected_number=0)
    assert "is now revision 1" in said(answer)
    pool.refresh_from_db()
    assert pool.target and pool.target.number == 1


def test_set_target_of_another_machine_state_than_was_shown_asks_again(staff: Client, pool: Pool) -> None:
    path = "/pools/lab/target/box"
    shown = seen(staff, path)
    box = Endpoint.objects.get(name="box")
    factories.report(box, factories.state("app 3-1"))
    answer = staff.post(path, shown)
    assert answer["Location"] == path and "box would now give another target" in said(answer)
    assert pool.revisions.count() == 1
    both = factories.state("app 3-1", "vim 1-1")
    factories.report(box, both)
    shown = seen(staff, path)
    factories.report(box, both, holds=["vim"])  # the same packages, and one of them left out
    assert "box would now give another target" in said(staff.post(path, shown))
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
