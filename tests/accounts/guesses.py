"""Passwords that an address sends, through every way that takes one. It must not know what follows from them."""

from collections.abc import Iterable
from datetime import timedelta
from functools import cache
from typing import Any

from axes.models import AccessAttempt
from django.db.models import F
from django.test import Client

HERE, ELSEWHERE = "203.0.113.1", "198.51.100.1"
LOGIN, ADMIN = "/login", "/admin/login/"


WRONG = "wrong"


@cache
def _client() -> Client:
    """One for all: each loads the middleware anew, which takes longer than a guess."""
    return Client()


def guess(password: str = WRONG, *, name: str = "ann", address: str = HERE, path: str = LOGIN, code: str = "") -> Any:
    """The answer to a browser that has no cookies."""
    _client().cookies.clear()
    return _client().post(path, {"username": name, "password": password, "code": code}, REMOTE_ADDR=address)


def statuses(times: int, **which: str) -> list[int]:
    return [guess(**which).status_code for _ in range(times)]


def from_many(number: int, **which: str) -> list[int]:
    """One wrong password from each of so many addresses."""
    return [guess(address=address, **which).status_code for address in addresses(number)]


def addresses(number: int) -> Iterable[str]:
    return (f"192.0.{2 + one // 250}.{1 + one % 250}" for one in range(number))


def later(minutes: float) -> None:
    """So much time passes for all wrong passwords."""
    AccessAttempt.objects.update(attempt_time=F("attempt_time") - timedelta(minutes=minutes))
