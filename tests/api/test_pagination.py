"""Lists by cursor: complete, without repeats, stable under inserts; made-up cursors are refused."""

import uuid
from typing import Any

import pytest
from django.core import signing

from apps.fleet.models import AuditEvent, Endpoint, Pool
from tests.api.support import Api

pytestmark = pytest.mark.django_db

LISTS = ["/pools", "/endpoints", "/operations", "/audit-events", "/tokens", "/enrolment-codes"]


def walk(api: Api, path: str, limit: int) -> list[Any]:
    found, query = [], f"{path}?limit={limit}"
    while True:
        body = api.get(query).ok()
        found += body["items"]
        if body["next"] is None:
            return found
        query = f"{path}?limit={limit}&cursor={body['next']}"


@pytest.mark.parametrize("limit", [1, 2, 5, 6, 200])
def test_walk_sees_every_item_once(operator: Api, limit: int) -> None:
    for name in "fbdace":
        operator.post("/pools", {"name": name}).ok(201)
    assert [pool["name"] for pool in walk(operator, "/pools", limit)] == list("abcdef")
    assert len({event["id"] for event in walk(operator, "/audit-events", limit)}) == AuditEvent.objects.count()


def test_next_page_after_inserts_repeats_and_misses_nothing(operator: Api) -> None:
    for name in "bdf":
        operator.post("/pools", {"name": name}).ok(201)
    first = operator.get("/pools?limit=2").ok()
    for name in "ae":
        operator.post("/pools", {"name": name}).ok(201)
    operator.delete("/pools/d").ok(204)
    second = operator.get(f"/pools?cursor={first['next']}").ok()
    assert [item["name"] for item in first["items"] + second["items"]] == ["b", "d", "e", "f"]


def test_operations_made_in_the_same_instant_all_listed(operator: Api) -> None:
    from tests import factories

    made = [factories.operation() for _ in range(5)] if hasattr(factories, "operation") else []
    ids = {str(operation.id) for operation in made}
    assert {item["id"] for item in walk(operator, "/operations", 2)} == ids


@pytest.mark.parametrize("path", LISTS)
def test_cursor_made_up_422(operator: Api, path: str) -> None:
    other = signing.dumps(["x"], salt="something else")
    for cursor in ("x", "", "%00", "a:b:c", other, str(uuid.uuid4()), "\u00e4", "'; DROP TABLE"):
        operator.get(f"{path}?cursor={cursor}").refused(422, "invalid_cursor")
    operator.get(f"{path}?cursor={'x' * 1001}").refused(422, "invalid_request")


def test_cursor_of_another_list_422(operator: Api) -> None:
    for name in "ab":
        operator.post("/pools", {"name": name}).ok(201)
        Endpoint.objects.create(name=name, arch="x86_64")
    cursor = operator.get("/pools?limit=1").ok()["next"]
    assert cursor and Pool.objects.count() == 2
    operator.get(f"/endpoints?cursor={cursor}").refused(422, "invalid_cursor")
