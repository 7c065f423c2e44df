"""Badges, changes and actors in words."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from uuid import UUID

import pytest
from django.urls import reverse, set_script_prefix

from apps.dashboard.presentation.attention_links import attention_url, bar_parts
from apps.dashboard.presentation.status_badges import CHANGE_BADGES, EFFECT_BADGES, MANAGEMENT_BADGES, badge_of
from apps.dashboard.templatetags import pacsync
from apps.fleet import audit
from apps.fleet.attention import AttentionKind, Item, PoolRow
from apps.fleet.difference import ChangeKind
from apps.fleet.forecast import Effect
from apps.fleet.models.operations import OperationStatus
from apps.fleet.status import EndpointStatus
from apps.fleet.status_badges import ENDPOINT_BADGES, OPERATION_BADGES

NOW = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)


def test_badge_everything_that_the_fleet_can_say_has_one() -> None:
    assert set(ENDPOINT_BADGES) - {"files_differ"} == set(EndpointStatus)
    assert set(OPERATION_BADGES) == set(OperationStatus.values)
    assert set(CHANGE_BADGES) == set(ChangeKind)
    assert set(EFFECT_BADGES) == set(Effect)
    assert not set(MANAGEMENT_BADGES) & set(CHANGE_BADGES)
    for badges in (ENDPOINT_BADGES, OPERATION_BADGES, CHANGE_BADGES | MANAGEMENT_BADGES, EFFECT_BADGES):
        assert len({one.label for one in badges.values()}) == len(badges)
        assert all(one.sign for one in badges.values())


def test_badge_of_something_newer_is_its_name() -> None:
    assert badge_of("brand_new").label == "brand new"


@pytest.mark.parametrize(
    ("actor", "words"), [("user:ada", "ada"), ("endpoint:box", "endpoint box"), ("server", "server"), ("", "")]
)
def test_actor_in_words(actor: str, words: str) -> None:
    assert audit.display_name(actor) == words


def test_badge_escapes_what_it_shows() -> None:
    assert "<b>" not in pacsync.badge("behind", "<b>")
    assert pacsync.breakable("a-b.<i>") == "a-<wbr>b.<wbr>&lt;i&gt;"


@pytest.mark.parametrize(
    ("page", "name"),
    [
        ("endpoint", "a-b.c_d"),
        ("pool", "LAB1"),
        ("package", "gtk+@._-x"),
        ("operation", UUID("2f3ab2d4-73a5-4d0f-8f4b-6f6dba2b5f6a")),
    ],
)
def test_address_is_that_of_django_below_any_prefix(page: str, name: object) -> None:
    assert pacsync.address(name, page) == reverse(page, args=[name])
    set_script_prefix("/pacsync/")
    try:
        assert pacsync.address(name, page) == reverse(page, args=[name])
        assert pacsync.address(name, page).startswith("/pacsync/")
    finally:
        set_script_prefix("/")


def test_address_of_what_can_be_no_name_is_no_markup() -> None:
    assert pacsync.address("<\"'&/?#é>", "endpoint") == "/endpoints/%3C%22%27%26%2F%3F%23%C3%A9%3E"


def test_fields_of_an_event_are_short_and_escaped() -> None:
    shown = pacsync.changed_fields(
        {"plan": {"upgrade": 7, "remove": 0}, "state": "a" * 64, "code": "", "name": "<b>", "on": True}
    )
    assert shown == (
        '<span class="muted">plan</span> upgrade 7, <span class="muted">state</span> aaaaaaaaaaaa, '
        '<span class="muted">code</span> none, <span class="muted">name</span> &lt;b&gt;, '
        '<span class="muted">on</span> true'
    )
    assert len(pacsync.changed_fields({"text": "x" * 1000})) < 120
    assert pacsync.changed_fields(None) == pacsync.changed_fields([1]) == ""


def test_moment_is_written_with_its_zone() -> None:
    local = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert ">2026-01-15 10:30 UTC</time>" in pacsync.moment(local)
    assert pacsync.moment(None) == "never"


def test_bar_is_whole_and_its_parts_are_in_order() -> None:
    pool = PoolRow(
        name="lab",
        endpoints=7,
        counts={
            EndpointStatus.IN_SYNC: 4,
            EndpointStatus.BEHIND: 2,
            EndpointStatus.OFFLINE: 1,
            EndpointStatus.AHEAD: 0,
        },
        files_differ=1,
        target=1,
        target_set=NOW,
        running=None,
        failed=0,
        alarms=(),
    )
    parts = bar_parts(pool)
    numbers = [("in_sync", 3), ("offline", 1), ("files_differ", 1), ("behind", 2)]
    assert [(part.status, part.number) for part in parts] == numbers
    assert round(parts[-1].start + parts[-1].width, 1) == 100
    assert all(after.start == pytest.approx(one.start + one.width, abs=0.02) for one, after in pairwise(parts))
    assert "style" not in pacsync.bar(parts)


@pytest.mark.parametrize("kind", list(AttentionKind))
def test_what_needs_attention_looks_like_something_and_leads_somewhere(kind: AttentionKind) -> None:
    assert 'aria-hidden="true">•' not in pacsync.attention_badge(kind)
    several = Item(kind=kind, object="pool:lab", cause="x", since=None, count=2, pool="lab")
    fleet = Item(kind=kind, object="fleet", cause="x", since=None, count=9)
    one = Item(kind=kind, object="endpoint:m1", cause="x", since=None, pool="lab", endpoint="m1")
    assert attention_url(several).startswith(("/endpoints?pool=lab&", "/pools/lab", "/checksums", "/tokens"))
    assert attention_url(fleet).startswith(("/endpoints?", "/?pools=attention", "/checksums", "/tokens"))
    assert attention_url(one) == "/endpoints/m1"


def test_counts_leave_out_what_is_zero() -> None:
    shown = pacsync.change_counts({"upgrade": 3, "install": 0, "remove": 1})
    assert "3 upgrade" in shown and "1 remove" in shown and "install" not in shown
    assert "none" in pacsync.change_counts({})
    assert pacsync.change_counts(None) == ""


def test_commands_in_backquotes_are_code_and_nothing_else_is_markup() -> None:
    shown = pacsync.with_code("Run `pacsync-agent sync <b>` & wait; a ` alone stays.")
    assert shown == "Run <code>pacsync-agent sync &lt;b&gt;</code> &amp; wait; a ` alone stays."


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        ({"message": "Not downloaded: a.", "code": "x"}, 'Not downloaded: a <span class="mono">(x)</span>.'),
        ({"message": "No <b>", "code": "x"}, 'No &lt;b&gt; <span class="mono">(x)</span>.'),
        ({"message": "Only words.", "code": ""}, "Only words."),
        ({"message": "Why.\nWarning: b.", "code": "x"}, 'Why <span class="mono">(x)</span>.'),
        ({"code": "x"}, "x"),
        ({}, ""),
    ],
)
def test_reason_is_one_sentence_with_its_code(result: dict[str, str], shown: str) -> None:
    assert pacsync.result_reason(result) == shown
