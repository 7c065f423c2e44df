"""Fixtures of the API's tests."""

import json
from typing import Any

import pytest

from apps.fleet import pool_manager
from apps.fleet.models import Pool
from tests import factories
from tests.api.support import Api, ApiMachine, api_token
from tests.vulnerabilities.lists import COPY, URL, store_and_compare


@pytest.fixture
def operator(db: Any) -> Api:
    return Api(api_token("operator"))


@pytest.fixture
def viewer(db: Any) -> Api:
    return Api(api_token("viewer"))


@pytest.fixture
def pool(db: Any) -> Pool:
    return pool_manager.create_pool(name="lab", actor="test")


@pytest.fixture
def machine(pool: Pool) -> ApiMachine:
    """m1, in the pool lab, which hasn't reported yet."""
    return ApiMachine("m1", pool)


@pytest.fixture
def behind(operator: Api, machine: ApiMachine) -> ApiMachine:
    """m1, behind its target by one upgrade of linux; it brings nano along as a dependency."""
    machine.report("linux 2-1", "nano 1-1 dependency")
    operator.post("/pools/lab/targets", {"endpoint": "m1"}).ok(201)
    machine.goal = machine.state  # type: ignore[attr-defined]
    machine.report("linux 1-1")
    return machine


@pytest.fixture
def kept_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command closes its connection at the end; the test's transaction lives on this one."""
    monkeypatch.setattr("apps.api.management.console.connection.close", lambda: None)


@pytest.fixture
def vulnerable(db: None, settings: Any) -> None:
    """m1 and m2 in the pool lab, m3 in none, m4 hasn't reported; m1 is worst, m3 isn't affected."""
    settings.SECURITY_TRACKER_URL = URL
    lab = factories.pool("lab")
    factories.reporting_endpoint("m1", pool=lab, state=factories.state("openssl 3.0.1-1", "xz 5.6.0-1"))
    factories.reporting_endpoint("m2", pool=lab, state=factories.state("lib32-openssl 3.0.0-1"))
    factories.reporting_endpoint("m3", state=factories.state("linux 6-1"))
    factories.endpoint("m4")
    store_and_compare(*json.loads(COPY.read_text()))
