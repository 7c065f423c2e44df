"""Sessions: those that have expired are removed, and their cookies can have other names."""

from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from apps.dashboard import sessions
from apps.fleet.models import Role
from tests import factories

pytestmark = pytest.mark.django_db


def test_expired_sessions_are_removed_and_others_stay() -> None:
    for days in (-1, 1):
        store = SessionStore()
        store.create()
        Session.objects.filter(pk=store.session_key).update(expire_date=timezone.now() + timedelta(days=days))
    sessions.clear_expired()
    assert Session.objects.get().expire_date > timezone.now()


def test_cookies_have_the_names_of_the_settings(client: Client, settings: LazySettings) -> None:
    settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME = "pacsync_session", "pacsync_csrf"
    client.force_login(factories.account("vic", Role.VIEWER))
    assert client.get("/").status_code == 200
    assert client.get("/login").cookies.keys() <= {"pacsync_csrf", "pacsync_session"}
    assert "pacsync_session" in client.cookies


@pytest.fixture
def rotated(client: Client, settings: LazySettings) -> Client:
    """A browser that was logged in before SECRET_KEY became another one; the former one is a fallback."""
    settings.SECRET_KEY = "the former key"
    client.force_login(factories.account("vic", Role.VIEWER))
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "the new key", ["the former key"]
    return client


def test_secret_key_rotated_the_session_keeps_its_key_and_needs_the_former_one_once(
    rotated: Client, settings: LazySettings
) -> None:
    key = rotated.cookies[settings.SESSION_COOKIE_NAME].value
    assert rotated.get("/").status_code == 200
    assert rotated.cookies[settings.SESSION_COOKIE_NAME].value == key
    settings.SECRET_KEY_FALLBACKS = []
    assert rotated.get("/").status_code == 200


def test_secret_key_rotated_without_a_fallback_nobody_is_logged_in(rotated: Client, settings: LazySettings) -> None:
    settings.SECRET_KEY_FALLBACKS = []
    assert rotated.get("/").status_code == 302


def test_login_still_gives_the_session_another_key(client: Client, settings: LazySettings) -> None:
    key = client.session.session_key  # of a visitor who isn't logged in
    assert key
    User.objects.create_user("eve", password="correct horse battery")
    client.post("/login", {"username": "eve", "password": "correct horse battery"})
    assert client.cookies[settings.SESSION_COOKIE_NAME].value != key
    assert not Session.objects.filter(pk=key).exists()
