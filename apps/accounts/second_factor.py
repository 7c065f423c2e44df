"""The second factor of an account: codes of an app (TOTP, RFC 6238), and recovery codes for when the app is lost.

django-otp keeps and verifies them. It must not know about pages, nor about passwords.
"""

import time
from binascii import unhexlify
from typing import Any

import segno
from django.db import transaction
from django_otp.oath import TOTP
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice
from django_otp.util import random_hex

from apps.fleet import audit

NAME = "app"
DIGITS = 6
RECOVERY_CODES = 10
MOST_FAILURES = 6
"""Wrong codes in a row that make the next one wait longer: 1, 2, 4, 8, 16, then always 32 seconds."""


def is_set(user: Any) -> bool:
    """Whether the account needs a code at a login. One query."""
    return bool(TOTPDevice.objects.devices_for_user(user, confirmed=True).exists())


def recovery_codes_left(user: Any) -> int:
    """How many recovery codes weren't used yet."""
    count: int = StaticToken.objects.filter(device__user=user, device__confirmed=True).count()
    return count


def new_key() -> str:
    """A secret for an app: 160 random bits, in hexadecimal."""
    return str(random_hex(20))


def address(user: Any, key: str) -> str:
    """The key as an `otpauth://` address, which apps take."""
    return str(TOTPDevice(user=user, key=key).config_url)


def qr_code(address: str) -> str:
    """The address as an SVG element."""
    return str(segno.make(address, error="m").svg_inline(scale=5, dark="#000", light="#fff", title="QR code"))


def add(*, user: Any, key: str, code: str, actor: str) -> list[str] | None:
    """Give the account this second factor. Returns its recovery codes; None if the code isn't one of the key.

    A second factor that the account had is replaced.
    """
    totp = TOTP(unhexlify(key))
    totp.time = time.time()
    given = _plain(code)
    if not _is_of_app(given) or not totp.verify(int(given), tolerance=1):
        return None
    with transaction.atomic():
        _delete(user)
        TOTPDevice.objects.create(user=user, name=NAME, key=key, last_t=totp.t(), drift=totp.drift)
        codes = [StaticToken.random_token() for _ in range(RECOVERY_CODES)]
        recovery = StaticDevice.objects.create(user=user, name="recovery codes")
        StaticToken.objects.bulk_create([StaticToken(device=recovery, token=code) for code in codes])
        audit.record(actor=actor, verb="add_second_factor", object=f"user:{user.get_username()}")
    return codes


def accepts(*, user: Any, code: str) -> bool:
    """Whether this is a code of the account's app that wasn't used yet, or a recovery code, which is used up by it."""
    given = _plain(code)
    kind = TOTPDevice if _is_of_app(given) else StaticDevice
    with transaction.atomic():
        device = kind.objects.devices_for_user(user, confirmed=True).select_for_update().first()
        if device is None:
            return False
        if not device.verify_token(given):
            kind.objects.filter(pk=device.pk, throttling_failure_count__gt=MOST_FAILURES).update(
                throttling_failure_count=MOST_FAILURES
            )
            return False
        if kind is StaticDevice:
            name = f"user:{user.get_username()}"
            audit.record(actor=name, verb="use_recovery_code", object=name, after={"left": device.token_set.count()})
    return True


def remove(*, user: Any, actor: str) -> bool:
    """Take the second factor and the recovery codes from the account. Returns whether it had one."""
    with transaction.atomic():
        removed = _delete(user)
        if removed:
            audit.record(actor=actor, verb="remove_second_factor", object=f"user:{user.get_username()}")
    return removed


def _delete(user: Any) -> bool:
    StaticDevice.objects.filter(user=user).delete()
    return bool(TOTPDevice.objects.filter(user=user).delete()[0])


def _plain(code: str) -> str:
    return "".join(code.split()).replace("-", "").lower()


def _is_of_app(code: str) -> bool:
    return len(code) == DIGITS and code.isascii() and code.isdecimal()
