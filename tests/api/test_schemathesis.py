"""What schemathesis thinks of against the OpenAPI document: no fault of the server, and answers as documented."""

from collections.abc import Iterator
from typing import Any
from zlib import crc32

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from apps.fleet.models import Pool
from tests.api.support import ApiMachine, api_token

schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", get_wsgi_application())
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]
# Half of the requests are about what exists: made-up names alone would seldom get further than a 404.
KNOWN = {"name": "m1", "number": 1}


@schema.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any]) -> dict[str, Any]:
    if not path_parameters or crc32(repr(path_parameters).encode("utf-8", "replace")) % 2:
        return path_parameters
    return path_parameters | {name: KNOWN[name] for name in path_parameters.keys() & KNOWN.keys()}


@pytest.fixture
def tokens(db: Any) -> dict[str, str]:
    """Tokens of both kinds; the pool and its endpoint have the same name."""
    pool = Pool.objects.create(name="m1")
    machine = ApiMachine("m1", pool)
    machine.report("linux 1-1")
    return {"operator": api_token("operator"), "endpoint": machine.token}


@pytest.fixture
def callers(tokens: dict[str, str]) -> Iterator[dict[str, str]]:
    """The tokens, while requests leave the connection open: it holds the test's transaction. (Django's own test client
    does the same, and connects the signal again after each of its requests.)"""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield tokens
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.mark.parametrize("role", ["operator", "endpoint"])
@pytest.mark.timeout(300)
@schema.parametrize()
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
def test_generated_requests_get_documented_answers(case: Any, role: str, callers: dict[str, str]) -> None:
    case.call_and_validate(headers={"Authorization": f"Bearer {callers[role]}"}, checks=CHECKS)
