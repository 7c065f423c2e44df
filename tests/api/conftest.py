"""Fixtures of the API's tests."""

from typing import Any

import pytest

from apps.fleet import pool_manager
from apps.fleet.models import Pool
from tests.api.support import Api, Machine, api_token


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
def machine(pool: Pool) -> Machine:
    """m1, in the pool lab, which hasn't reported yet."""
    return Machine("m1", pool)
