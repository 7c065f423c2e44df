"""Logging in and out, and the way to the first account."""

from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client

from apps.fleet.models import Role
from tests import factories

pytestmark = pytest.mark.django_db


def test_login_no_account_yet_says_how_to_make_one(client: Client) -> None:
    page = client.get("/login").content.decode()
    assert "Nobody has an account yet" in page
    assert "python manage.py createsuperuser" in page


def test_login_account_exists_says_no_more_than_where_to_ask(client: Client) -> None:
    User.objects.create_user("vic")
    page = client.get("/login").content.decode()
    assert "Nobody has an account yet" not in page
    assert "createsuperuser" in page


def test_login_right_password_goes_where_one_wanted_to(client: Client) -> None:
    User.objects.create_user("vic", password="right")
    answer = client.post("/login", {"username": "vic", "password": "right", "next": "/endpoints"})
    assert (answer.status_code, answer["Location"]) == (302, "/endpoints")


def test_login_next_elsewhere_stays_here(client: Client) -> None:
    User.objects.create_user("vic", password="right")
    answer = client.post("/login", {"username": "vic", "password": "right", "next": "https://evil.example/"})
    assert (answer.status_code, answer["Location"]) == (302, "/")


REFERRERS = [
    ("http://testserver/endpoints/box?x=1#y", "/endpoints/box?x=1"),
    ("https://evil.example/endpoints", "/"),
    ("http://testserver", "/"),
    ("http://[", "/"),
    ("", "/"),
]


@pytest.mark.parametrize(("referrer", "next_"), REFERRERS)
def test_login_after_a_form_that_came_too_late_goes_to_the_page_of_the_form(
    client: Client, db: None, referrer: str, next_: str
) -> None:
    answer = client.post("/endpoints/box/sync", headers={"Referer": referrer} if referrer else {})
    assert answer.status_code == 302
    assert parse_qs(urlsplit(answer["Location"]).query)["next"] == [next_]


def test_login_on_the_way_to_a_page_goes_there(client: Client, db: None) -> None:
    answer = client.get("/endpoints?name=x", headers={"Referer": "http://testserver/operations"})
    assert parse_qs(urlsplit(answer["Location"]).query)["next"] == ["/endpoints?name=x"]


def test_login_wrong_password_is_said(client: Client) -> None:
    User.objects.create_user("vic", password="right")
    answer = client.post("/login", {"username": "vic", "password": "wrong"})
    assert answer.status_code == 200
    assert "Please enter a correct username and password" in answer.content.decode()


def test_logout_then_pages_need_login(reader: Client) -> None:
    assert reader.post("/logout").status_code == 302
    assert reader.get("/").status_code == 302


def test_password_changed_is_said_and_works(client: Client) -> None:
    user = factories.account("vic", Role.VIEWER, password="right")
    client.force_login(user)
    new = "quite-new-passphrase"
    answer = client.post(
        "/password", {"old_password": "right", "new_password1": new, "new_password2": new}, follow=True
    )
    assert "Your password was changed." in answer.content.decode()
    assert User.objects.get(pk=user.pk).check_password(new)
