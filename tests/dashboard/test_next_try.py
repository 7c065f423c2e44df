"""What pages say of an operation that failed for a reason that will pass, and what may be asked for meanwhile."""

import html
import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils.html import strip_tags

from apps.fleet import clock, sync_coordinator
from apps.fleet.models import Operation
from tests import factories
from tests.dashboard.confirming import confirm
from tests.fleet.operations import come_due, fail

pytestmark = pytest.mark.django_db


@pytest.fixture
def waiting() -> Operation:
    """A sync that a mirror failed; its next try is in about a minute."""
    return fail(factories.queued(), "mirror_failed")


def pages(client: Client, operation: Operation) -> list[str]:
    """The text of every page that tells of the next try."""
    paths = ("/operations", f"/operations/{operation.pk}", f"/endpoints/{operation.endpoint.name}")
    return [re.sub(r"\s+", " ", html.unescape(strip_tags(client.get(path).content.decode()))) for path in paths]


def test_next_try_that_comes_is_said_with_its_time(reader: Client, waiting: Operation) -> None:
    Operation.objects.filter(pk=waiting.pk).update(retry_at=clock.now() + timedelta(hours=3, minutes=30))
    for page in pages(reader, waiting):
        assert "The next try is in 3 h." in page and "next report" not in page, page


def test_next_try_whose_time_has_come_is_at_the_next_report(reader: Client, waiting: Operation) -> None:
    come_due(waiting)
    for page in pages(reader, waiting):
        assert "It is tried again at the machine's next report." in page, page
        assert not re.search(r"(again|next try is) (in )?\d+ \w+", page), page


def test_reason_has_its_code_before_the_full_stop(reader: Client, waiting: Operation) -> None:
    _, operation, endpoint = pages(reader, waiting)
    assert "It was mirror_failed (mirror_failed). " in operation
    assert "It was mirror_failed (mirror_failed). " in endpoint
    assert ". (" not in operation + endpoint


def test_attempts_are_left_out_while_it_waits(reader: Client, waiting: Operation) -> None:
    path = f"/operations/{waiting.pk}"
    assert "Attempts" not in reader.get(path).content.decode()
    factories.leased(come_due(waiting))
    assert "<dt>Attempts</dt><dd>1</dd>" in reader.get(path).content.decode()


def test_sync_is_offered_while_an_operation_waits_for_its_next_try(staff: Client, waiting: Operation) -> None:
    name, pool = waiting.endpoint.name, waiting.endpoint.pool
    assert pool and staff.get(f"/endpoints/{name}").context["can_sync"]
    assert staff.get(f"/pools/{pool.name}/sync").context["counts"] == {"behind": 1}
    confirm(staff, f"/pools/{pool.name}/sync")
    waiting.refresh_from_db()
    assert (waiting.status, waiting.result and waiting.result["code"]) == ("cancelled", "asked_again")
    assert Operation.objects.get(status="queued").retries == 0
    # The new one gives way to nobody: nothing more is offered.
    assert not staff.get(f"/endpoints/{name}").context["can_sync"]
    assert staff.get(f"/pools/{pool.name}/sync").status_code == 302


def test_revert_is_offered_while_an_operation_waits_and_not_while_one_runs(staff: Client) -> None:
    endpoint = factories.queued().endpoint
    factories.finish(factories.applying(Operation.objects.get()))
    revert, _ = sync_coordinator.create_operation(endpoint=endpoint, kind="revert", actor="test")
    page = f"/endpoints/{endpoint.name}"
    assert not staff.get(page).context["can_revert"]
    fail(revert, "mirror_failed")
    assert staff.get(page).context["can_revert"]
