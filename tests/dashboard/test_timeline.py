"""The page of an endpoint's timeline."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings
from django.db.models.functions import Now
from django.test import Client

from apps.dashboard.views.endpoints.timeline import days
from apps.fleet import endpoint_manager
from apps.fleet.models import Endpoint
from tests import factories


def words(client: Client, path: str) -> str:
    page = client.get(path).content.decode().partition("<main")[2]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


@pytest.fixture
def box(db: None) -> Endpoint:
    """It was synced, was offline for ten poll intervals, and is back."""
    pool = factories.pool("lab")
    made = factories.reporting_endpoint("box", state=factories.state("app 1-1"))
    endpoint_manager.assign(endpoint=made, pool=pool, actor="user:ada")
    factories.target(pool, "app 2-1")
    made.refresh_from_db()
    factories.synced(made)
    seen = Now() - timedelta(seconds=10 * settings.POLL_SECONDS)
    Endpoint.objects.filter(pk=made.pk).update(last_seen=seen)
    factories.report(made, factories.state("app 3-1"))
    return made


def test_timeline_tells_each_event_as_a_sentence(reader: Client, box: Endpoint) -> None:
    page = words(reader, "/endpoints/box/timeline")
    for sentence in (
        "ada put box into pool lab",
        "Target #1 of lab set by test",
        "Sync to lab #1 asked for by test",
        "Sync to lab #1 ✓ succeeded",
        "back ; its last report before was",
        "offline since then",
        "result of an operation",
        "the oldest known state",
    ):
        assert sentence in page, sentence


def test_timeline_states_lead_to_what_changed(reader: Client, box: Endpoint) -> None:
    page = reader.get("/endpoints/box/timeline").content.decode()
    (newest, *_) = re.findall(r'href="(/compare[^"]+)"', page)
    assert "3-1" in words(reader, newest.replace("&amp;", "&"))


def test_timeline_since_a_day(reader: Client, box: Endpoint) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
    assert "Nothing has happened since then" in words(reader, f"/endpoints/box/timeline?since={tomorrow}")
    assert "Since Monday" in words(reader, "/endpoints/box/timeline")
    answer = reader.get("/endpoints/box/timeline?since=whenever")
    assert "since must be a date like 2026-01-15" in answer.content.decode() and "State" in answer.content.decode()


def test_timeline_of_an_endpoint_without_any_event(reader: Client, db: None) -> None:
    factories.endpoint("new")
    assert "Nothing is known yet" in words(reader, "/endpoints/new/timeline")


def test_days_are_those_of_utc() -> None:
    offered = dict(days(datetime(2026, 11, 26, 0, 30, tzinfo=UTC)))
    assert (offered["Today"], offered["Since Monday"]) == ("2026-11-26", "2026-11-23")
    assert dict(days(datetime(2026, 11, 23, tzinfo=UTC)))["Since Monday"] == "2026-11-23"
