"""Reverts: which sync one takes back, and which packages it leaves as they are."""

from typing import Any

import pytest

from apps.fleet import endpoint_manager, exceptions, states
from apps.fleet.models import Endpoint
from tests import factories
from tests.fleet.operations import create

pytestmark = pytest.mark.django_db


def machine(*, foreign: str = "") -> tuple[Endpoint, Any]:
    """A machine on `app 1.0-1` in a pool whose target is `app 2.0-1`."""
    pool = factories.pool()
    factories.target(pool, "app 2.0-1")
    endpoint = factories.endpoint(pool=pool)
    offers = factories.reported_repository(factories.repository("app 1.0-1"))
    factories.report(endpoint, factories.state("app 1.0-1", *([foreign] if foreign else [])), offers)
    return endpoint, pool


def installed(endpoint: Endpoint) -> list[str]:
    endpoint.refresh_from_db()
    assert endpoint.state
    return [f"{package.name} {package.version}" for package in states.load(endpoint.state)]


def test_revert_brings_the_base_back_exactly_and_a_second_has_nothing_left() -> None:
    endpoint, _ = machine()
    base = endpoint.state
    factories.synced(endpoint)
    operation = factories.synced(endpoint, "revert")
    assert endpoint.state == base and operation.reverts and operation.reverts.kind == "sync"
    with pytest.raises(exceptions.NothingToRevert):
        create(endpoint, "revert")


def test_revert_after_a_revert_goes_one_sync_further_back() -> None:
    endpoint, pool = machine()
    factories.synced(endpoint)
    factories.target(pool, "app 3.0-1")
    factories.synced(endpoint)
    factories.synced(endpoint, "revert")
    assert installed(endpoint) == ["app 2.0-1"]
    factories.synced(endpoint, "revert")
    assert installed(endpoint) == ["app 1.0-1"]
    factories.synced(endpoint)
    assert installed(endpoint) == ["app 3.0-1"]
    factories.synced(endpoint, "revert")
    assert installed(endpoint) == ["app 1.0-1"]


def test_revert_keeps_what_is_foreign_now_and_does_not_bring_back_what_was() -> None:
    endpoint, _ = machine(foreign="yay 1-1")
    factories.synced(endpoint)
    factories.report(endpoint, factories.state("app 2.0-1", "paru 1-1"), *sources(endpoint))
    assert endpoint.foreign == ["paru"]
    factories.synced(endpoint, "revert")
    assert installed(endpoint) == ["app 1.0-1", "paru 1-1"]


def test_revert_keeps_what_is_held() -> None:
    endpoint, _ = machine()
    factories.synced(endpoint)
    factories.report(endpoint, factories.state("app 2.0-1", "linux 6-1"), *sources(endpoint), holds=["linux"])
    factories.synced(endpoint, "revert")
    assert installed(endpoint) == ["app 1.0-1", "linux 6-1"]


@pytest.mark.parametrize(("code", "status"), [("files_differ", "failed"), ("pacman_failed", "succeeded")])
def test_finish_files_that_differ_fail_it_though_the_state_is_the_targets(code: str, status: str) -> None:
    endpoint, _ = machine()
    operation = factories.finish(factories.applying(create(endpoint, "sync")), outcome="failed", code=code)
    assert operation.status == status and installed(endpoint) == ["app 2.0-1"]


def test_revert_takes_back_a_sync_whose_files_differ_and_not_the_one_before() -> None:
    endpoint, pool = machine()
    factories.synced(endpoint)
    factories.target(pool, "app 3.0-1")
    factories.finish(factories.applying(create(endpoint, "sync")), outcome="failed", code="files_differ")
    factories.synced(endpoint, "revert")
    assert installed(endpoint) == ["app 2.0-1"]


def test_revert_nothing_succeeded_is_refused() -> None:
    endpoint, _ = machine()
    with pytest.raises(exceptions.NothingToRevert):
        create(endpoint, "revert")


def test_revert_out_of_the_pool_still_works() -> None:
    endpoint, _ = machine()
    factories.synced(endpoint)
    endpoint_manager.assign(endpoint=endpoint, pool=None, actor="test")
    factories.synced(endpoint, "revert")
    assert installed(endpoint) == ["app 1.0-1"]


def sources(endpoint: Endpoint) -> list[Any]:
    """The repositories that the endpoint has reported, to be reported again."""
    return [factories.reported_repository(row.content, row.name) for row in endpoint.repositories.all()]
