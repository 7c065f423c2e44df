"""Wrong passwords stop the address that sends them, and nobody else."""

from typing import Any

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.models import User
from django.test import Client

from apps.accounts import login_failures
from tests.accounts.guesses import ADMIN, ELSEWHERE, HERE, LOGIN, addresses, from_many, guess, later, statuses

pytestmark = pytest.mark.django_db


@pytest.fixture
def slow_down_only_by_failures(settings: Any) -> None:
    """Without the limits of requests a minute, which have tests of their own."""
    for name in ("LOGIN", "LOGIN_TOTAL", "FAILURES", "FAILURES_TOTAL"):
        setattr(settings, f"RATE_LIMIT_{name}", 0)


unlimited = pytest.mark.usefixtures("slow_down_only_by_failures")


@pytest.mark.parametrize("path", [LOGIN, ADMIN])
def test_forty_wrong_from_one_address_stop_it_and_the_owner_gets_in_from_another(ann: User, path: str) -> None:
    """With the limits as they are set by default."""
    found = statuses(40, path=path)
    assert found[:9] == [200] * 9 and set(found[9:]) == {429}
    assert guess("right", path=path).status_code == 429
    assert guess("right", path=path, address=ELSEWHERE).status_code == 302


def test_wrong_for_one_account_stop_only_that_account_of_the_address(
    ann: User, slow_down_only_by_failures: None
) -> None:
    User.objects.create_user("bob", password="right")
    statuses(10)
    assert guess("right").status_code == 429
    assert guess("right", name="bob").status_code == 302


@unlimited
def test_wrong_for_many_accounts_stop_the_address_for_all(ann: User) -> None:
    found = [guess(name=f"user{number}").status_code for number in range(40)]
    assert found == [200] * 29 + [429] * 11
    assert guess("right").status_code == 429
    assert guess("right", address=ELSEWHERE).status_code == 302


@unlimited
def test_wrong_from_many_addresses_leave_each_of_them_few_and_the_owner_gets_in(ann: User) -> None:
    """The negative twin is an account for which only few came."""
    User.objects.create_user("bob", password="right")
    assert set(from_many(40)) == {200}
    assert statuses(4, address=ELSEWHERE) == [200, 200, 429, 429]
    assert statuses(4, address=ELSEWHERE, name="bob") == [200] * 4
    assert guess("right", address="198.51.100.2").status_code == 302


def test_wrong_from_many_addresses_by_default_the_owner_gets_in_at_once(ann: User) -> None:
    """The totals of a minute don't keep out an address that hasn't sent anything yet."""
    from_many(70)
    statuses(20, address=HERE)
    assert guess("right", address=ELSEWHERE).status_code == 302


def test_block_ends_by_itself_and_attempts_in_between_do_not_prolong_it(
    ann: User, slow_down_only_by_failures: None
) -> None:
    statuses(10)
    later(14)
    assert statuses(5) == [429] * 5
    later(1.1)
    assert guess("right").status_code == 302


@unlimited
def test_block_says_when_it_ends_and_who_releases_it(ann: User) -> None:
    statuses(9)
    answer = guess()
    assert answer.status_code == 429 and answer["Cache-Control"] == "no-store"
    assert 14 * 60 < int(answer["Retry-After"]) <= 15 * 60
    page = answer.content.decode()
    assert "Try again in 15 minutes" in page and "for this account" in page
    assert f"python manage.py blocked_logins --release-address {HERE}" in page
    later(10)
    assert 4 * 60 < int(guess()["Retry-After"]) <= 5 * 60


@unlimited
def test_block_of_the_whole_address_says_so(ann: User) -> None:
    for number in range(29):
        guess(name=f"user{number}")
    assert "for this account" not in guess().content.decode()


@unlimited
def test_unknown_account_is_answered_like_a_known_one_and_never_stored(ann: User) -> None:
    """Its name may be somebody's password."""
    known, unknown = (statuses(11, name=name, address=at) for name, at in (("ann", HERE), ("hunter2", ELSEWHERE)))
    assert known == unknown
    texts = [str(row) for row in AccessAttempt.objects.values_list()]
    assert len(texts) == 2 and not any("hunter2" in text or "wrong" in text for text in texts)


@unlimited
def test_right_password_forgets_the_own_mistakes_only(ann: User) -> None:
    statuses(5)
    statuses(5, name="bob")
    assert guess("right").status_code == 302
    assert [row.failures_since_start for row in AccessAttempt.objects.all()] == [5]
    assert statuses(9) == [200] * 9


@unlimited
def test_other_browser_at_the_same_address_counts_together(ann: User) -> None:
    for number in range(12):
        client = Client(REMOTE_ADDR=HERE, headers={"User-Agent": f"browser {number}"})
        last = client.post(LOGIN, {"username": "ann", "password": "wrong"})
    assert last.status_code == 429


@unlimited
def test_ipv6_addresses_of_one_network_count_together(ann: User) -> None:
    found = [guess(address=f"2001:db8::{number + 1:x}").status_code for number in range(12)]
    assert found == [200] * 9 + [429] * 3
    assert guess("right", address="2001:db8:0:1::1").status_code == 302


@unlimited
@pytest.mark.parametrize("path", ["/password", "/admin/password_change/"])
def test_old_password_is_not_guessed_in_a_browser_that_is_logged_in(ann: User, path: str) -> None:
    client = Client(REMOTE_ADDR=HERE)
    client.force_login(ann)
    form = {"old_password": "wrong", "new_password1": "quite-new-passphrase", "new_password2": "quite-new-passphrase"}
    target = client.post(path, form)
    if path != "/password":
        assert (target.status_code, target["Location"]) == (302, "/password")
    found = [client.post("/password", form).status_code for _ in range(12)]
    assert found[-1] == 429 and client.post("/password", form | {"old_password": "right"}).status_code == 429
    assert not any("quite-new" in str(row) for row in AccessAttempt.objects.values_list())
    assert client.get("/").status_code == 200


@unlimited
def test_account_that_is_switched_off_counts_like_any(ann: User) -> None:
    User.objects.update(is_active=False)
    assert set(statuses(12, password="right")[10:]) == {429}


@unlimited
def test_rows_are_bounded_while_an_address_is_blocked_and_forgotten_later(
    ann: User, django_assert_max_num_queries: Any
) -> None:
    for number in range(60):
        guess(name=f"user{number}")
    assert AccessAttempt.objects.count() == 30
    with django_assert_max_num_queries(12):
        guess()
    later(17)
    login_failures.forget()
    assert not AccessAttempt.objects.exists()


@unlimited
def test_limits_are_those_of_the_settings(ann: User, settings: Any) -> None:
    settings.LOGIN_FAILURES, settings.LOGIN_FAILURES_ADDRESS = 2, 3
    assert statuses(3) == [200, 429, 429]
    assert statuses(2, name="bob") == [429, 429]


@unlimited
def test_attack_is_over_when_its_guesses_are_forgotten(ann: User) -> None:
    from_many(40)
    later(16)
    assert statuses(9, address=next(iter(addresses(1)))) == [200] * 9
