"""What one address may ask without a credential; who has one isn't slowed down. Each limit with its negative twin."""

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client
from django.urls import reverse

from apps.api.access import rate_limits
from apps.fleet import endpoint_manager
from apps.fleet.models import Endpoint, Role
from apps.lifecycle.wsgi import address_rates
from tests import factories
from tests.api.support import ROOT, Answer, Api, ApiMachine

pytestmark = pytest.mark.django_db
KINDS = ("ANONYMOUS", "ENROLMENT", "LOGIN", "FAILURES")
Ask = Callable[..., Any]
FIRST_TRIES = rate_limits.FIRST_TRIES * 8
"""What `few` lets through of logins that are the first of their address in a minute."""


@pytest.fixture(autouse=True)
def still(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of the limits stands still, however slow this machine is; passwords are checked quickly."""
    monkeypatch.setattr(address_rates, "monotonic", lambda: 1000.0)
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def few(settings: Any) -> Any:
    """5 requests a minute of each kind from each address, and 8 from all together."""
    for kind in KINDS:
        setattr(settings, f"RATE_LIMIT_{kind}", 5)
        setattr(settings, f"RATE_LIMIT_{kind}_TOTAL", 8)
    return settings


@pytest.fixture
def unlimited(settings: Any) -> Any:
    for kind in KINDS:
        setattr(settings, f"RATE_LIMIT_{kind}", 0)
        setattr(settings, f"RATE_LIMIT_{kind}_TOTAL", 0)
    settings.LOGIN_FAILURES = settings.LOGIN_FAILURES_ADDRESS = 1000
    return settings


def at(address: str) -> Client:
    return Client(REMOTE_ADDR=address)


def page(path: str) -> Ask:
    return lambda client: client.get(path)


def enrol(client: Client) -> Any:
    body = {"code": "psc_wrong", "name": "m9", "arch": "x86_64"}
    return client.post(f"{ROOT}/enroll", body, "application/json")


def log_in(client: Client) -> Any:
    return client.post("/login", {"username": "ann", "password": "wrong"})


def log_in_as_admin(client: Client) -> Any:
    return client.post("/admin/login/", {"username": "ann", "password": "wrong"})


ANONYMOUS = {
    "login page": page("/login"),
    "admin's login page": page("/admin/login/"),
    "overview, which sends to the login": page("/"),
    "unknown page": page("/none"),
    "agent": page("/agent/pacsync-agent"),
    "checksum": page("/agent/pacsync-agent.sha256"),
    "documents": page(f"{ROOT}/docs"),
    "OpenAPI": page(f"{ROOT}/openapi.json"),
    "API without a token": page(f"{ROOT}/pools"),
    "unknown route": page(f"{ROOT}/none"),
    "details": page("/health/detailed"),
    "metrics": page("/metrics"),
    "enrolment": enrol,
    "login": log_in,
    "admin's login": log_in_as_admin,
}


def close(answer: Any) -> int:
    """The status of an answer that is a file."""
    answer.close()
    status: int = answer.status_code
    return status


def statuses(ask: Ask, client: Client, times: int) -> list[int]:
    return [ask(client).status_code for _ in range(times)]


@pytest.mark.parametrize("ask", ANONYMOUS.values(), ids=ANONYMOUS)
def test_anonymous_request_too_many_from_one_address_429(ask: Ask, few: Any) -> None:
    found = statuses(ask, at("192.0.2.1"), 6)
    assert 429 not in found[:5] and found[5] == 429
    answer = ask(at("192.0.2.1"))
    assert 1 <= int(answer["Retry-After"]) <= 12
    assert statuses(ask, at("192.0.2.2"), 1) != [429]


# The others have a total for the first ones of an address: test_login_first_tries_have_a_total_of_their_own.
WITH_ONE_TOTAL = {name: ask for name, ask in ANONYMOUS.items() if ask not in (log_in, log_in_as_admin)}


@pytest.mark.parametrize("ask", WITH_ONE_TOTAL.values(), ids=WITH_ONE_TOTAL)
def test_anonymous_request_too_many_from_all_together_429(ask: Ask, few: Any) -> None:
    found = [status for number in range(10) for status in statuses(ask, at(f"192.0.2.{number}"), 1)]
    assert 429 not in found[:8] and found[8:] == [429, 429]


@pytest.mark.parametrize("ask", ANONYMOUS.values(), ids=ANONYMOUS)
def test_anonymous_request_switched_off_never_429(ask: Ask, unlimited: Any) -> None:
    assert 429 not in statuses(ask, at("192.0.2.1"), 12)


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready", "/static/pacsync/favicon.svg"])
def test_probe_and_static_file_never_429(path: str, few: Any) -> None:
    statuses(page("/login"), at("192.0.2.1"), 10)
    assert 429 not in [close(page(path)(at("192.0.2.1"))) for _ in range(30)]


def test_refusal_is_a_problem_in_the_api_and_a_page_elsewhere(few: Any) -> None:
    client = at("192.0.2.1")
    statuses(page("/login"), client, 5)
    assert Answer(client.get(f"{ROOT}/pools")).refused(429, "rate_limited")
    answer = client.get("/login")
    assert answer["Content-Type"].startswith("text/html") and "Content-Security-Policy" in answer
    assert f"Try again in {answer['Retry-After']} second" in answer.content.decode()


def test_ipv6_addresses_of_one_network_count_together(few: Any) -> None:
    found = [status for number in range(6) for status in statuses(page("/login"), at(f"2001:db8::{number}"), 1)]
    assert found == [200] * 5 + [429]
    assert statuses(page("/login"), at("2001:db8:0:1::1"), 1) == [200]


def test_refused_request_costs_no_statement(few: Any, django_assert_num_queries: Any) -> None:
    statuses(enrol, at("192.0.2.1"), 5)
    with django_assert_num_queries(0):
        assert statuses(enrol, at("192.0.2.1"), 1) == [429]


def test_token_that_is_known_isn_t_limited(machine: ApiMachine, few: Any) -> None:
    for _ in range(20):
        machine.api.get("/me").ok()


def test_token_that_is_known_gets_through_while_its_address_is_refused(machine: ApiMachine, few: Any) -> None:
    machine.api.get("/me").ok()
    statuses(page("/login"), Client(), 10)
    for _ in range(10):
        Api("pse_wrong").get("/me")
    assert Api("pse_wrong2").get("/me").refused(429, "rate_limited")
    machine.api.get("/me").ok()


def test_token_that_isn_t_known_yet_gets_through_where_nobody_guesses(machine: ApiMachine, few: Any) -> None:
    machine.api.get("/me").ok()
    address_rates.forget()
    machine.api.get("/me").ok()


def test_guessed_tokens_429_before_the_database_is_asked(few: Any, django_assert_num_queries: Any) -> None:
    found = [Api(f"pse_{number}").get("/me").status for number in range(7)]
    assert found == [401] * 5 + [429] * 2
    with django_assert_num_queries(0):
        Api("pst_guess").get("/pools").refused(429, "rate_limited")


def test_guessed_codes_429_although_enrolments_are_allowed(few: Any) -> None:
    few.RATE_LIMIT_ENROLMENT = few.RATE_LIMIT_ENROLMENT_TOTAL = 1000
    assert statuses(enrol, at("192.0.2.1"), 7) == [403] * 5 + [429] * 2


def test_token_that_was_revoked_counts_again(machine: ApiMachine, few: Any) -> None:
    machine.api.get("/me").ok()
    Endpoint.objects.update(token_hash=None)
    assert [machine.api.get("/me").status for _ in range(6)] == [401] * 5 + [429]


def test_header_that_proves_nothing_doesn_t_open_anonymous_pages(few: Any) -> None:
    client = Client(headers={"Authorization": "Bearer made-up"})
    assert statuses(page("/login"), client, 6) == [200] * 5 + [429]


def test_cookie_that_proves_nothing_doesn_t_open_anonymous_pages(few: Any) -> None:
    client = Client()
    client.cookies[django_settings.SESSION_COOKIE_NAME] = "made-up"
    assert statuses(page("/login"), client, 6) == [200] * 5 + [429]


def test_person_who_is_logged_in_isn_t_limited(few: Any) -> None:
    client = Client()
    client.force_login(factories.account("ann", Role.VIEWER))
    assert statuses(page("/"), client, 20) == [200] * 20
    statuses(page("/login"), Client(), 10)
    assert statuses(page("/"), client, 1) == [200]


def test_session_doesn_t_help_to_guess_passwords(few: Any, django_user_model: Any) -> None:
    client = Client()
    client.force_login(django_user_model.objects.create_user("ann"))
    client.get("/")
    assert statuses(log_in_as_admin, client, 6)[5] == 429


def test_fleet_behind_one_address_enrols_at_once(settings: Any) -> None:
    """With what is set by default: 500 machines that each get the agent, its checksum, a token, and report."""
    _, code = endpoint_manager.create_enrolment_code(actor="test", uses=500)
    client = at("203.0.113.1")
    for number in range(500):
        assert client.get("/agent/pacsync-agent.sha256").status_code == 200
        assert client.head("/agent/pacsync-agent").status_code == 200
        body = {"code": code, "name": f"m{number}", "arch": "x86_64"}
        token = Answer(client.post(f"{ROOT}/enroll", body, "application/json")).ok(201)["token"]
        assert client.get(f"{ROOT}/me", headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_database_that_fails_makes_nobody_unknown(
    machine: ApiMachine, few: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import OperationalError

    def fail(**_: object) -> None:
        raise OperationalError("gone")

    machine.api.get("/me").ok()
    with monkeypatch.context() as context:
        context.setattr(endpoint_manager, "authenticate", fail)
        assert {machine.api.get("/me").status for _ in range(20)} == {503}
    statuses(page("/login"), Client(), 10)
    machine.api.get("/me").ok()


@pytest.mark.parametrize("known", [True, False])
def test_login_page_kept_busy_by_strangers_stays_open_to_addresses_of_users(
    few: Any, django_user_model: Any, known: bool
) -> None:
    """The negative twin is an address from which nobody has logged in before."""
    django_user_model.objects.create_user("ann", password="right")
    few.RATE_LIMIT_FAILURES_TOTAL = 100
    right = {"username": "ann", "password": "right"}
    if known:
        assert at("198.51.100.1").post("/login", right).status_code == 302
    for number in range(FIRST_TRIES):
        log_in(at(f"203.0.113.{number}"))
    assert at("198.51.100.1").post("/login", right).status_code == (302 if known else 429)


@pytest.mark.parametrize("ask", [log_in, log_in_as_admin])
def test_login_first_tries_have_a_total_of_their_own(few: Any, ask: Ask) -> None:
    few.RATE_LIMIT_FAILURES_TOTAL = 100
    found = [statuses(ask, at(f"192.0.2.{number}"), 1)[0] for number in range(5)]
    again = [status for number in range(5) for status in statuses(ask, at(f"192.0.2.{number}"), 2)]
    assert found == [200] * 5 and again == [200] * 8 + [429] * 2
    assert statuses(ask, at("198.51.100.1"), 1) == [200]
    firsts = [statuses(ask, at(f"203.0.113.{number}"), 1)[0] for number in range(FIRST_TRIES)]
    assert firsts == [200] * (FIRST_TRIES - 6) + [429] * 6


@pytest.mark.parametrize(
    "ask", [lambda: Api("pse_right").get("/me").status, lambda: log_in(at("127.0.0.1")).status_code]
)
def test_wrong_credentials_from_many_addresses_keep_out_no_address_that_sent_none(
    few: Any, ask: Callable[[], int]
) -> None:
    """The negative twin is an address that has sent a wrong one itself."""
    for number in range(10):
        statuses(enrol, at(f"203.0.113.{number}"), 1)
    few.RATE_LIMIT_ENROLMENT_TOTAL = few.RATE_LIMIT_ENROLMENT = 1000
    assert ask() in (200, 401)
    assert statuses(enrol, at("203.0.113.1"), 1) == [429]


def test_login_paths_are_those_of_the_pages() -> None:
    assert {reverse("login"), reverse("admin:login")} == rate_limits.LOGINS
    assert reverse("api:enroll") == rate_limits.ENROL


def test_defaults_are_those_of_the_documents() -> None:
    text = (django_settings.BASE_DIR / "docs" / "configuration.md").read_text()
    for kind in KINDS:
        each, total = (getattr(django_settings, f"RATE_LIMIT_{kind}{end}") for end in ("", "_TOTAL"))
        assert f"| `RATE_LIMIT_{kind}`, `RATE_LIMIT_{kind}_TOTAL` | {each}, {total} |" in text
