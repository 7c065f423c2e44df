"""Passwords that are checked quickly, and the account `ann`."""

from typing import Any

import pytest
from django.contrib.auth.models import User


@pytest.fixture(autouse=True)
def quick(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def ann(db: None) -> User:
    """An account whose password is `right`."""
    return User.objects.create_superuser("ann", password="right")


@pytest.fixture
def kept_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command closes its connection at the end; the test's transaction lives on this one."""
    monkeypatch.setattr("apps.api.management.console.connection.close", lambda: None)
