"""Blocked addresses are shown and released, by the command and in the admin."""

import json
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError
from django.test import Client

from apps.fleet.models import AuditEvent
from tests.accounts.guesses import ELSEWHERE, HERE, guess
from tests.api.commands import document, said

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("kept_connection")]
ADMIN = "/admin/axes/accessattempt/"


@pytest.fixture
def blocked(ann: User, settings: Any) -> None:
    """`ann` is blocked at one address, and an account that doesn't exist at another."""
    settings.LOGIN_FAILURES = 2
    for _ in range(2):
        guess()
        guess(name="nobody", address="2001:db8::1")


@pytest.fixture
def admin(ann: User) -> Client:
    client = Client(REMOTE_ADDR=ELSEWHERE)
    client.force_login(ann)
    return client


def test_command_nothing_blocked_says_so() -> None:
    assert said("blocked_logins") == "No address is blocked.\n"
    assert document("blocked_logins") == {"blocked": []}


def test_command_lists_what_is_blocked(blocked: None) -> None:
    lines = said("blocked_logins").splitlines()
    assert lines[0].split()[:2] == ["ADDRESS", "ACCOUNT"]
    rows = sorted(line.split("  ")[0] for line in lines[1:])
    assert rows == ["2001:db8::/64", HERE]
    assert any("no such account" in line for line in lines)
    found = document("blocked_logins")["blocked"]
    assert {(one["address"], one["account"], one["wrong_passwords"]) for one in found} == {
        (HERE, "ann", 2),
        ("2001:db8::/64", None, 2),
    }


@pytest.mark.parametrize("option", [("--release-address", HERE), ("--release-account", "ann"), ("--release-all",)])
def test_command_releases(blocked: None, option: tuple[str, ...]) -> None:
    assert guess("right").status_code == 429
    assert "wrong passwords" in said("blocked_logins", *option)
    assert guess("right").status_code == 302
    event = AuditEvent.objects.get(verb="release_login")
    assert event.actor == "console" and event.before["wrong_passwords"] >= 2


def test_command_releases_the_network_of_an_ipv6_address(blocked: None) -> None:
    assert "2 wrong passwords" in said("blocked_logins", "--release-address", "2001:db8::/64")
    assert AccessAttempt.objects.count() == 1


def test_command_releases_nothing_says_so_and_records_nothing(blocked: None) -> None:
    assert said("blocked_logins", "--release-address", ELSEWHERE) == "Forgot 0 wrong passwords.\n"
    assert not AuditEvent.objects.filter(verb="release_login").exists()


@pytest.mark.parametrize("address", ["here", "203.0.113", "203.0.113.1.5"])
def test_command_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(CommandError, match="is no IP address"):
        said("blocked_logins", "--release-address", address)


def test_admin_shows_and_releases(blocked: None, admin: Client) -> None:
    page = admin.get(ADMIN).content.decode()
    assert HERE in page and "2001:db8::/64" in page and "no such account" in page and "nobody" not in page
    row = AccessAttempt.objects.get(username="ann")
    assert admin.get(f"{ADMIN}{row.pk}/change/").status_code == 200
    answer = admin.post(ADMIN, {"action": "release", "_selected_action": [row.pk]}, follow=True)
    assert "Released: 2 wrong passwords forgotten." in answer.content.decode()
    assert guess("right").status_code == 302
    assert AuditEvent.objects.get(verb="release_login").object == f"address:{HERE}"


def test_admin_whoever_may_only_view_releases_nothing(blocked: None) -> None:
    vic = User.objects.create_user("vic", is_staff=True)
    client = Client(REMOTE_ADDR=ELSEWHERE)
    client.force_login(vic)
    assert client.get(ADMIN).status_code == 403
    vic.user_permissions.add(Permission.objects.get(codename="view_accessattempt"))
    assert HERE in client.get(ADMIN).content.decode()
    row = AccessAttempt.objects.get(username="ann")
    client.post(ADMIN, {"action": "release", "_selected_action": [row.pk]})
    assert AccessAttempt.objects.count() == 2


def test_admin_changes_and_adds_nothing(blocked: None, admin: Client) -> None:
    row = AccessAttempt.objects.get(username="ann")
    assert admin.get(f"{ADMIN}add/").status_code == 403
    assert admin.post(f"{ADMIN}{row.pk}/change/", {"failures_since_start": 0}).status_code == 403
    assert admin.post(f"{ADMIN}{row.pk}/delete/", {"post": "yes"}).status_code == 403


def test_admin_page_of_many_rows_costs_no_query_for_each(
    blocked: None, admin: Client, django_assert_max_num_queries: Any
) -> None:
    for number in range(40):
        guess(name=f"user{number}", address=f"192.0.2.{number + 1}")
    with django_assert_max_num_queries(12):
        page = admin.get(ADMIN).content.decode()
    assert "192.0.2.40" in page


def test_json_and_text_say_the_same(blocked: None) -> None:
    assert json.loads(said("blocked_logins", "--format", "json"))["blocked"][0]["until"].startswith("20")
