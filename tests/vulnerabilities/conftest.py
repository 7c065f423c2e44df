"""Fixtures of the tests of known vulnerabilities."""

from collections.abc import Iterator
from typing import Any

import pytest

from apps.vulnerabilities import fetching
from tests.vulnerabilities.lists import GOOD, URL
from tests.vulnerabilities.tracker import Tracker, running_tracker

NETWORK = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture
def tracker(db: None, settings: Any) -> None:
    """The feature is on."""
    settings.SECURITY_TRACKER_URL = URL


@pytest.fixture
def no_network_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names no proxy and no certificates."""
    for name in NETWORK:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server(db: None, no_network_variables: None, settings: Any) -> Iterator[Tracker]:
    """A tracker, which is the source of the list."""
    with running_tracker() as made:
        settings.SECURITY_TRACKER_URL = made.url
        made.serves(GOOD)
        yield made


@pytest.fixture
def good(server: Tracker) -> Tracker:
    """A tracker whose good list is here already, and which can't be told that again."""
    assert fetching.fetch_now()
    return server
