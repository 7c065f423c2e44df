"""Versions of Python, Django and gunicorn: no anonymous client reads them anywhere, and whoever may still does."""

import json
import platform
import re
from importlib.metadata import version

import pytest

from tests.e2e.conftest import Serve
from tests.support.load import get
from tests.support.playground import Playground
from tests.support.server import manage

PAGES = (
    "/", "/login", "/admin/", "/admin/login/", "/nope", "/packages", "/agent/pacsync-agent.sha256", "/favicon.ico",
    "/api/v1/openapi.json", "/api/v1/docs", "/api/v1/me", "/api/v1/nope", "/static/nope.js",
    "/health", "/health/live", "/health/ready", "/health/startup", "/health/detailed", "/health/detailed?format=html",
    "/health/detailed?format=prometheus", "/health/detailed?format=openmetrics", "/health/components", "/metrics",
)  # fmt: skip
HIDDEN = {name: version(name) for name in ("django", "gunicorn")} | {"python": platform.python_version()}
DETAILED = ("/health/detailed", "/health/detailed?format=html", "/metrics")


@pytest.fixture
def server(serving: Serve) -> Playground:
    return serving(ALLOWED_HOSTS="127.0.0.1")


def versions_in(text: str) -> set[str]:
    return {name for name, number in HIDDEN.items() if re.search(rf"(?<![\d.]){re.escape(number)}(?![\d.])", text)}


def test_anonymous_client_reads_no_versions(server: Playground) -> None:
    for path in PAGES:
        for asked in ({}, {"Host": "evil.example"}):
            status, headers, body = get(server.port, path, headers=asked)
            said = f"{status} {dict(headers)} {body.decode(errors='replace')}"
            assert versions_in(said) == set(), (path, asked)


def test_reader_with_a_token_reads_them(server: Playground) -> None:
    made = manage(server.environment["DATABASE_URL"], "create_api_token", "prometheus")
    header = {"Authorization": f"Bearer {made.stdout.strip()}"}
    found = {path: versions_in(get(server.port, path, headers=header)[2].decode()) for path in DETAILED}
    assert found == {DETAILED[0]: {"python"}, DETAILED[1]: {"python"}, DETAILED[2]: {"python", "django"}}
    assert json.loads(get(server.port, "/health")[2])["version"] == "1.0.0", "its own is part of the contract"
