"""What pages say of an operation that failed for a reason that will pass, and what may be asked for meanwhile."""

import html
import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils.html import strip_tags

from apps.fleet.models import Operation
from tests import factories
from tests.fleet.test_retrying import come_due, fail

pytestmark = pytest.mark.django_db


@pytest.fixture
def waiting() -> Operation:
    """A sync that a mirror failed; its next try is in about a minute."""
    return fail(factories.queued(), "mirror_failed")


def pages(client: Client, operation: Operation) -> list[str]:
    """The text of every page that tells of the next try."""
    paths = ("/", "/operations", f"/operations/{operation.pk}", f"/endpoints/{operation.endpoint.name}")
    return [re.sub(r"\s+", " ", html.unescape(strip_tags(client.get(path).content.decode()))) for path in paths]


def test_next_try_that_comes_is_said_with_its_time(reader: Client, waiting: Operation) -> None:
    for page in pages(reader, waiting):
        assert re.search(r"The next try is in (\d\d s|1 min)\.", page), page
        assert "next report" not in page


def test_next_try_whose_time_has_come_is_at_the_next_report(reader: Client, waiting: Operation) -> None:
    come_due(waiting)
    for page in pages(reader, waiting):
        assert "It is tried again at the machine's next report." in page, page
        assert not re.search(r"(again|next try is) (in )?\d+ \w+", page), page


def test_reason_has_its_code_before_the_full_stop(reader: Client, waiting: Operation) -> None:
    _, _, operation, endpoint = pages(reader, waiting)
    assert "It was mirror_failed (mirror_failed). The next try" in operation
    assert "It was mirror_failed (mirror_failed). The next try" in endpoint
    assert ". (" not in operation + endpoint


def test_attempts_are_left_out_while_it_waits(reader: Client, waiting: Operation) -> None:
    path = f"/operations/{waiting.pk}"
    assert "Attempts" not in reader.get(path).content.decode()
    factories.leased(come_due(waiting))
    assert "<dt>Attempts</dt><dd>1</dd>" in reader.get(path).content.decode()


def test_waiting_longer_is_said_in_hours(reader: Client, waiting: Operation) -> None:
    assert waiting.retry_at
    Operation.objects.filter(pk=waiting.pk).update(retry_at=waiting.retry_at + timedelta(hours=3))
    assert all("The next try is in 3 h." in page for page in pages(reader, waiting))
