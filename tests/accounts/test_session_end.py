"""Sessions end some time after their last use, and some time after the login."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db.models import F
from django.test import Client
from django.utils import timezone

from apps.accounts import session_end
from apps.lifecycle.work import deferred_writes
from tests.accounts.guesses import HERE

pytestmark = pytest.mark.django_db
IDLE, LONGEST = timedelta(hours=8), timedelta(days=7)


@pytest.fixture
def browser(ann: User) -> Client:
    """A browser where `ann` has just logged in."""
    client = Client(REMOTE_ADDR=HERE)
    assert client.post("/login", {"username": "ann", "password": "right"}).status_code == 302
    return client


def left() -> timedelta:
    """How long the session still lasts, unless it is used."""
    return Session.objects.get().expire_date - timezone.now()


def about(expected: timedelta) -> bool:
    return abs(left() - expected) < timedelta(minutes=2)


def later(**time: float) -> None:
    """So much time passes for the session, which isn't used."""
    passed = timedelta(**time)
    row = Session.objects.get()
    data = row.get_decoded()
    data[session_end.BEGAN] -= passed.total_seconds()
    Session.objects.update(session_data=Session.objects.encode(data), expire_date=F("expire_date") - passed)


def used(browser: Client, path: str = "/", **headers: str) -> None:
    assert browser.get(path, headers=headers).status_code == 200
    deferred_writes.flush()


def test_session_that_is_not_used_ends(browser: Client) -> None:
    assert about(IDLE)
    later(hours=7.9)
    assert browser.get("/").status_code == 200
    later(hours=0.2)
    assert browser.get("/").status_code == 302


def test_session_that_is_used_goes_on(browser: Client) -> None:
    for _ in range(5):
        later(hours=7)
        used(browser)
        assert about(IDLE)


def test_session_ends_at_the_latest_some_time_after_the_login(browser: Client) -> None:
    for _ in range(23):
        later(hours=7)
        used(browser)
    assert about(LONGEST - timedelta(hours=161))
    later(hours=7)
    assert browser.get("/").status_code == 302


def test_session_use_is_written_once_a_minute_and_not_in_the_request(
    browser: Client, django_assert_num_queries: Any
) -> None:
    later(minutes=5)
    with django_assert_num_queries(2):  # the session and its user
        assert browser.get("/password").status_code == 200
    deferred_writes.flush()
    browser.get("/password")
    with django_assert_num_queries(0):
        deferred_writes.flush()


def test_session_page_that_asks_for_itself_again_is_no_use(browser: Client) -> None:
    later(hours=1)
    used(browser, **{"X-Automatic": "refresh"})
    assert about(IDLE - timedelta(hours=1))


def test_session_that_was_logged_out_meanwhile_stays_so(browser: Client) -> None:
    later(hours=1)
    browser.get("/")
    browser.post("/logout")
    deferred_writes.flush()
    assert not Session.objects.exists()


def test_session_of_the_release_before_ends_when_it_would_have(browser: Client) -> None:
    row = Session.objects.get()
    data = row.get_decoded()
    del data[session_end.BEGAN]
    Session.objects.update(
        session_data=Session.objects.encode(data), expire_date=timezone.now() + timedelta(minutes=30)
    )
    used(browser)
    assert about(timedelta(minutes=30))


def test_session_times_are_those_of_the_settings(ann: User, settings: Any) -> None:
    settings.SESSION_IDLE_MINUTES, settings.SESSION_MAX_HOURS = 30, 1
    client = Client(REMOTE_ADDR=HERE)
    client.post("/login", {"username": "ann", "password": "right"})
    assert about(timedelta(minutes=30))
    later(minutes=20)
    used(client)
    assert about(timedelta(minutes=30))
    later(minutes=20)
    used(client)
    assert about(timedelta(minutes=20))


def test_session_cookie_lasts_as_long_as_the_longest_session(browser: Client, settings: Any) -> None:
    assert browser.cookies[settings.SESSION_COOKIE_NAME]["max-age"] == LONGEST.total_seconds()


def test_session_goes_on_after_a_new_password_and_keeps_its_beginning(browser: Client) -> None:
    later(hours=7)
    new = "quite-new-passphrase"
    form = {"old_password": "right", "new_password1": new, "new_password2": new}
    assert browser.post("/password", form).status_code == 302
    assert browser.get("/").status_code == 200
    began = Session.objects.get().get_decoded()[session_end.BEGAN]
    assert timezone.now().timestamp() - began > 6.9 * 3600
