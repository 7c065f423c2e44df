"""The second factor: set up by a person, asked for at each login, removed by the person or an administrator."""

import re
import time
from base64 import b32decode
from binascii import unhexlify
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.models import User
from django.core.management import CommandError
from django.test import Client
from django_otp.oath import TOTP
from django_otp.plugins.otp_static.models import StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from apps.accounts import second_factor
from apps.fleet.models import AuditEvent
from tests.accounts.guesses import ELSEWHERE, HERE, guess
from tests.api.commands import document, said

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("kept_connection")]
RIGHT = "right"
KEY = "3132333435363738393031323334353637383930"


def code(steps: int = 0) -> str:
    """The code of KEY, some steps of 30 s from now."""
    totp = TOTP(unhexlify(KEY))
    totp.time = time.time() + 30 * steps
    return f"{totp.token():06d}"


@pytest.fixture
def codes(ann: User) -> list[str]:
    """`ann` has a second factor; her recovery codes."""
    made = second_factor.add(user=ann, key=KEY, code=code(), actor="user:ann")
    assert made is not None
    return made


@pytest.fixture
def browser(ann: User) -> Client:
    """Where `ann` is logged in."""
    client = Client(REMOTE_ADDR=HERE)
    client.force_login(ann)
    return client


def log_in(given: str, *, password: str = RIGHT, address: str = HERE, path: str = "/login") -> Any:
    return guess(password, address=address, path=path, code=given)


def waited() -> None:
    """The time after a wrong code is over."""
    TOTPDevice.objects.update(throttling_failure_timestamp=None)


def test_person_without_one_needs_no_code(ann: User) -> None:
    assert log_in("").status_code == 302


@pytest.mark.parametrize("path", ["/login", "/admin/login/"])
def test_person_with_one_needs_the_code(codes: list[str], path: str) -> None:
    page = log_in("", path=path)
    assert page.status_code == 200 and "Enter the code of your app, too." in page.content.decode()
    assert "The code is wrong" in log_in("000000", path=path).content.decode()
    waited()
    assert log_in(code(1), path=path).status_code == 302


def test_code_works_once(codes: list[str]) -> None:
    assert log_in(code(1)).status_code == 302
    assert log_in(code(1)).status_code == 200


def test_code_with_spaces_and_of_other_scripts(codes: list[str]) -> None:
    assert log_in("٠٠٠٠٠٠").status_code == 200
    waited()
    given = code(1)
    assert log_in(f" {given[:3]} {given[3:]} ").status_code == 302


def test_code_without_the_password_is_nothing(codes: list[str]) -> None:
    assert log_in(code(1), password="wrong").status_code == 200
    assert log_in(code(1)).status_code == 302  # it wasn't used up


def test_recovery_code_takes_its_place_once(codes: list[str]) -> None:
    assert log_in(codes[0].upper()).status_code == 302
    event = AuditEvent.objects.get(verb="use_recovery_code")
    assert (event.object, event.after) == ("user:ann", {"left": second_factor.RECOVERY_CODES - 1})
    assert log_in(codes[0]).status_code == 200


def test_wrong_codes_count_as_wrong_passwords(codes: list[str], settings: Any) -> None:
    for name in ("LOGIN", "LOGIN_TOTAL"):
        setattr(settings, f"RATE_LIMIT_{name}", 0)
    found = [log_in("000000").status_code for _ in range(11)]
    assert found == [200] * 9 + [429] * 2
    assert not any("000000" in str(row) for row in AccessAttempt.objects.values_list())
    waited()
    assert log_in(code(1)).status_code == 429
    assert log_in(code(1), address=ELSEWHERE).status_code == 302


def test_wrong_codes_make_the_next_one_wait_half_a_minute_at_most(codes: list[str]) -> None:
    """django-otp alone would double the time for ever."""
    for _ in range(10):
        waited()
        log_in("000000")
    device = TOTPDevice.objects.get()
    allowed, why = device.verify_is_allowed()
    assert not allowed
    assert (why["locked_until"] - device.throttling_failure_timestamp).total_seconds() == 32


def test_page_sets_one_up_and_shows_recovery_codes_once(browser: Client) -> None:
    page = browser.get("/second-factor")
    text = page.content.decode()
    assert "<svg" in text and "otpauth://totp/PacSync%3Aann?secret=" in text and page["Cache-Control"]
    assert not TOTPDevice.objects.exists()  # looking changes nothing
    form = page.context["form"].initial | {"password": "right", "code": "000000"}
    assert "The code is wrong" in browser.post("/second-factor", form).content.decode()
    key = second_factor_key(text)
    totp = TOTP(key)
    answer = browser.post("/second-factor", form | {"code": f"{totp.token():06d}"})
    shown = set(re.findall(r"\b[a-z2-7]{8}\b", answer.content.decode()))
    assert set(StaticToken.objects.values_list("token", flat=True)) <= shown
    assert StaticToken.objects.count() == second_factor.RECOVERY_CODES
    assert AuditEvent.objects.get(verb="add_second_factor").actor == "user:ann"
    again = browser.get("/second-factor").content.decode()
    assert "10 recovery codes are left" in again and "<svg" not in again.split("main")[1]


def second_factor_key(text: str) -> bytes:
    found = re.search(r"secret=([A-Z2-7]+)", text)
    assert found
    return b32decode(found[1])


@pytest.mark.parametrize("wrong", [{"password": "wrong"}, {"signed_key": "made:up:key"}])
def test_page_sets_none_up_without_the_password_or_its_own_key(browser: Client, wrong: dict[str, str]) -> None:
    page = browser.get("/second-factor")
    given = f"{TOTP(second_factor_key(page.content.decode())).token():06d}"
    browser.post("/second-factor", page.context["form"].initial | {"password": "right", "code": given} | wrong)
    assert not TOTPDevice.objects.exists()


def test_page_does_not_take_the_key_of_another_account(browser: Client) -> None:
    other = Client(REMOTE_ADDR=HERE)
    other.force_login(User.objects.create_user("eve", password="right"))
    page = browser.get("/second-factor")
    given = f"{TOTP(second_factor_key(page.content.decode())).token():06d}"
    form = page.context["form"].initial | {"password": "right", "code": given}
    answer = other.post("/second-factor", form, follow=True)
    assert "The page was too old" in answer.content.decode() and not TOTPDevice.objects.exists()


def test_page_removes_it_with_the_password(codes: list[str], browser: Client) -> None:
    assert "The password is wrong." in browser.post("/second-factor", {"password": "wrong"}).content.decode()
    assert TOTPDevice.objects.exists()
    answer = browser.post("/second-factor", {"password": "right"}, follow=True)
    assert "Your account has no second factor any more." in answer.content.decode()
    assert log_in("").status_code == 302
    assert AuditEvent.objects.get(verb="remove_second_factor").actor == "user:ann"


def test_page_is_no_place_to_guess_the_password(codes: list[str], browser: Client) -> None:
    found = [browser.post("/second-factor", {"password": "wrong"}).status_code for _ in range(10)]
    assert found == [200] * 9 + [429]


def test_command_removes_it(codes: list[str]) -> None:
    assert said("remove_second_factor", "ann") == "ann can log in with the password alone.\n"
    assert log_in("").status_code == 302
    assert AuditEvent.objects.get(verb="remove_second_factor").actor == "console"
    assert document("remove_second_factor", "ann") == {"name": "ann", "removed": False}
    assert AuditEvent.objects.filter(verb="remove_second_factor").count() == 1


def test_command_account_that_does_not_exist_one_line() -> None:
    with pytest.raises(CommandError, match="There is no account 'nobody'"):
        said("remove_second_factor", "nobody")


def test_admin_removes_it_and_shows_no_secret(codes: list[str], browser: Client) -> None:
    place, device = "/admin/otp_totp/totpdevice/", TOTPDevice.objects.get()
    for path in (place, f"{place}{device.pk}/change/"):
        text = browser.get(path).content.decode()
        assert "ann" in text and KEY not in text and not any(one in text for one in codes)
    assert browser.get("/admin/otp_static/staticdevice/").status_code == 404
    assert browser.get(f"{place}add/").status_code == 403
    browser.post(place, {"action": "remove", "_selected_action": [device.pk]})
    assert not TOTPDevice.objects.exists() and not StaticToken.objects.exists()
    assert AuditEvent.objects.get(verb="remove_second_factor").actor == "user:ann"


def test_admin_whoever_may_not_delete_removes_none(codes: list[str]) -> None:
    client = Client(REMOTE_ADDR=HERE)
    client.force_login(User.objects.create_user("vic", is_staff=True))
    client.post("/admin/otp_totp/totpdevice/", {"action": "remove", "_selected_action": [TOTPDevice.objects.get().pk]})
    assert TOTPDevice.objects.exists()


def test_account_that_is_deleted_takes_it_along(codes: list[str], ann: User) -> None:
    ann.delete()
    assert not TOTPDevice.objects.exists() and not StaticToken.objects.exists()
