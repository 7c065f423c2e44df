"""What the audit says of logins and passwords, and that guesses can't fill it."""

from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

from apps.accounts import login_audit
from apps.dashboard.presentation.audit_phrases import audit_lines, news
from apps.fleet.models import AuditEvent
from tests.accounts.guesses import ELSEWHERE, HERE, from_many, guess

pytestmark = pytest.mark.django_db
NEW = "quite-new-passphrase"


@pytest.fixture
def quiet(ann: User, settings: Any) -> None:
    """The account exists, and nothing was recorded yet. The limits of requests a minute are off."""
    AuditEvent.objects.all().delete()
    for name in ("LOGIN", "LOGIN_TOTAL", "FAILURES", "FAILURES_TOTAL"):
        setattr(settings, f"RATE_LIMIT_{name}", 0)


def events() -> list[tuple[str, str, str]]:
    return list(AuditEvent.objects.order_by("id").values_list("actor", "verb", "object"))


def phrases() -> list[str]:
    return [f"{line.actor} {line.phrase}" for line in audit_lines(AuditEvent.objects.order_by("id"))]


def test_login_and_logout_are_recorded_with_the_address(quiet: None) -> None:
    client = Client(REMOTE_ADDR=HERE)
    client.post("/login", {"username": "ann", "password": "right"})
    client.post("/logout")
    assert events() == [("user:ann", "log_in", "user:ann"), ("user:ann", "log_out", "user:ann")]
    assert {event.after["address"] for event in AuditEvent.objects.all()} == {HERE}
    assert phrases() == ["ann logged in", "ann logged out"]


def test_logout_of_nobody_is_not_recorded(quiet: None) -> None:
    Client(REMOTE_ADDR=HERE).post("/logout")
    assert events() == []


def test_wrong_passwords_first_and_blocking_one_are_recorded(quiet: None) -> None:
    for _ in range(15):
        guess("hunter2")
    address = f"address:{HERE}"
    assert events() == [(address, "log_in_failed", "user:ann"), (address, "block_login", "user:ann")]
    assert phrases()[0] == f"address {HERE} sent a wrong password for ann"
    assert not any("hunter2" in str(row) for row in AuditEvent.objects.values_list())


def test_wrong_passwords_account_that_does_not_exist_is_not_named(quiet: None) -> None:
    guess(name="hunter2")
    assert events() == [(f"address:{HERE}", "log_in_failed", "account:unknown")]
    assert phrases() == [f"address {HERE} sent a password for an account that doesn't exist"]


def test_wrong_passwords_of_many_addresses_do_not_fill_the_audit(quiet: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_audit, "PER_HOUR", 5)
    from_many(8)
    assert AuditEvent.objects.count() == 5
    assert AuditEvent.objects.order_by("id").last().after == {"more": "not recorded within the hour"}  # type: ignore[union-attr]
    assert guess("right", address=ELSEWHERE).status_code == 302
    assert AuditEvent.objects.filter(verb="log_in").exists()


def test_password_changed_on_the_page_is_recorded(quiet: None) -> None:
    client = Client(REMOTE_ADDR=HERE)
    client.force_login(User.objects.get())
    AuditEvent.objects.all().delete()
    client.post("/password", {"old_password": "right", "new_password1": NEW, "new_password2": NEW})
    assert events() == [("user:ann", "change_password", "user:ann")]
    assert phrases() == ["ann set the password of ann"]


def test_password_changed_in_the_admin_is_recorded_with_who_did_it(quiet: None) -> None:
    bob = User.objects.create_user("bob")
    client = Client(REMOTE_ADDR=HERE)
    client.force_login(User.objects.get(username="ann"))
    AuditEvent.objects.all().delete()
    form = {"password1": NEW, "password2": NEW, "usable_password": "true"}
    client.post(f"/admin/auth/user/{bob.pk}/password/", form)
    assert events() == [("user:ann", "change_password", "user:bob")]


def test_password_of_a_command_is_recorded(quiet: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getpass", lambda prompt: NEW)  # what somebody types at the terminal
    call_command("changepassword", "ann", stdout=StringIO())
    assert events() == [("console", "change_password", "user:ann")]


def test_password_hashed_anew_at_a_login_is_no_change(quiet: None, settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.ScryptPasswordHasher", *settings.PASSWORD_HASHERS]
    assert guess("right").status_code == 302
    assert User.objects.get().password.startswith("scrypt")
    assert [verb for _, verb, _ in events()] == ["log_in"]


def test_overview_has_blocks_and_no_logins(quiet: None) -> None:
    for _ in range(10):
        guess()
    guess("right", address=ELSEWHERE)
    assert [line.event.verb for line in news(5)] == ["block_login"]
