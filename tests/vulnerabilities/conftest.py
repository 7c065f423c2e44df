"""Fixtures of the tests of known vulnerabilities."""

from typing import Any

import pytest

from tests.vulnerabilities.lists import URL


@pytest.fixture
def tracker(db: None, settings: Any) -> None:
    """The feature is on."""
    settings.SECURITY_TRACKER_URL = URL
