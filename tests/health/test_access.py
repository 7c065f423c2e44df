"""HEALTH_DETAIL=private: who sees details, and that nobody's probe asks for more than it did."""

import re
from collections.abc import Callable
from ipaddress import ip_network

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.test import Client

from apps.fleet import roles, tokens
from apps.fleet.models import ApiToken, Role
from apps.health.checking.checker import Checker
from tests import factories
from tests.health.conftest import Answer, Get

STATUS_ONLY = {"status", "service", "timestamp", "details"}


@pytest.fixture
def private(settings: LazySettings, checker: Checker, db: None) -> None:
    settings.HEALTH_DETAIL = "private"
    settings.HEALTH_DETAIL_NETWORKS = (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))
    checker.step()


def session_of(role: Role | None) -> str:
    """The Cookie header of somebody with this role who signed in."""
    client = Client()
    client.force_login(factories.account("somebody", role))
    return f"theme=dark; sessionid={client.cookies['sessionid'].value}"


def bearer() -> str:
    return "Bearer " + tokens.create_api_token(name="prometheus", role="viewer", actor="test")[1]


@pytest.mark.usefixtures("private")
def test_private_stranger_gets_the_status_only(get: Get) -> None:
    answer = get("/health/detailed")
    assert answer.status == 200
    assert set(answer.json) == STATUS_ONLY
    page = get("/health/detailed?format=html").text
    assert "Details are private" in page
    (link,) = re.findall('<a href="([^"]*next=[^"]*)">Sign in', page)
    assert Client().get(link).status_code == 200
    assert "Components" not in page
    for path in ("/metrics", "/health/detailed?format=prometheus"):
        text = get(path).text
        assert "pacsync_ready 1.0" in text
        assert "pacsync_build_info" not in text
        assert "pacsync_http" not in text


@pytest.mark.usefixtures("private")
@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready", "/health/startup"])
def test_private_probes_stay_open(get: Get, path: str) -> None:
    assert get(path).status == 200


@pytest.mark.usefixtures("private")
@pytest.mark.parametrize(
    ("address", "seen"),
    [
        ("10.9.8.7", True),
        ("::ffff:10.9.8.7", True),
        ("2001:db8::1", True),
        ("192.0.2.1", False),
        ("", False),
        ("unix:", False),
    ],
)
def test_private_listed_network_sees_details(get: Get, address: str, seen: bool) -> None:
    answer = get("/health/detailed", REMOTE_ADDR=address, HTTP_X_FORWARDED_FOR="10.9.8.7")
    assert ("components" in answer.json) is seen


@pytest.mark.usefixtures("private")
@pytest.mark.parametrize(
    ("header", "seen"),
    [
        (bearer, True),
        (lambda: bearer().replace("Bearer", "bearer"), True),
        (lambda: bearer() + "x", False),
        (lambda: bearer().replace("Bearer", "Basic"), False),
        (lambda: "Bearer", False),
        (lambda: "Bearer \u00e9", False),
        (lambda: "Bearer " + "x" * 10_000, False),
    ],
)
def test_private_api_token_sees_details(get: Get, header: Callable[[], str], seen: bool) -> None:
    text = header()
    assert ("components" in get("/health/detailed", HTTP_AUTHORIZATION=text).json) is seen
    assert ("pacsync_build_info" in get("/metrics", HTTP_AUTHORIZATION=text).text) is seen


@pytest.mark.usefixtures("private")
def test_private_revoked_token_sees_the_status_only(get: Get) -> None:
    token, text = tokens.create_api_token(name="old", role="viewer", actor="test")
    assert "components" in get("/health/detailed", HTTP_AUTHORIZATION=f"Bearer {text}").json
    tokens.revoke_api_token(token=token, actor="test")
    assert set(get("/health/detailed", HTTP_AUTHORIZATION=f"Bearer {text}").json) == STATUS_ONLY


@pytest.mark.usefixtures("private")
def test_private_token_of_somebody_who_left_or_that_expired_sees_the_status_only(get: Get) -> None:
    ann = factories.account("ann", Role.VIEWER)
    _, text = tokens.create_api_token(name="ann", role="viewer", actor="test", owner=ann)
    header = f"Bearer {text}"
    assert "components" in get("/health/detailed", HTTP_AUTHORIZATION=header).json
    for change in ({"is_active": False}, {"is_active": True}):
        User.objects.update(**change)
        assert ("components" in get("/health/detailed", HTTP_AUTHORIZATION=header).json) is change["is_active"]
    roles.give(user=ann, role=None, actor="test")
    assert set(get("/health/detailed", HTTP_AUTHORIZATION=header).json) == STATUS_ONLY
    roles.give(user=ann, role=Role.VIEWER, actor="test")
    ApiToken.objects.update(expires=Now())
    assert set(get("/health/detailed", HTTP_AUTHORIZATION=header).json) == STATUS_ONLY


@pytest.mark.usefixtures("private")
@pytest.mark.parametrize(("role", "seen"), [(Role.OPERATOR, True), (Role.VIEWER, True), (None, False)])
def test_private_session_with_a_role_sees_details(get: Get, role: Role | None, seen: bool) -> None:
    answer = get("/health/detailed", HTTP_COOKIE=session_of(role))
    assert ("components" in answer.json) is seen


@pytest.mark.usefixtures("private")
def test_private_session_of_a_former_secret_key_sees_details_and_stays(get: Get, settings: LazySettings) -> None:
    """No cookie can be set here, so the session must keep its key."""
    settings.SECRET_KEY = "the former key"
    cookie = session_of(Role.VIEWER)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "the new key", ["the former key"]
    for _ in range(2):
        assert "components" in get("/health/detailed", HTTP_COOKIE=cookie).json


@pytest.mark.usefixtures("private")
@pytest.mark.parametrize(
    "cookie", ["sessionid=made-up", "sessionid=", "sessionid", 'sessionid="', "a=b; sessionid=\x00"]
)
def test_private_nonsense_cookie_sees_the_status_only(get: Get, cookie: str) -> None:
    assert set(get("/health/detailed", HTTP_COOKIE=cookie).json) == STATUS_ONLY


@pytest.mark.usefixtures("private")
def test_private_token_while_the_database_is_broken_is_not_looked_up(
    get: Get, checker: Checker, django_assert_num_queries: Callable[..., object], broken_database: None
) -> None:
    header = bearer()
    checker.step()

    def ask() -> Answer:
        return get("/health/detailed", HTTP_AUTHORIZATION=header)

    with django_assert_num_queries(0):  # type: ignore[attr-defined]
        assert set(ask().json) == STATUS_ONLY
