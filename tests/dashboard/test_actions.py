"""What staff can do to a machine and its operations; a refusal is a sentence on the next page."""

import uuid
from collections.abc import Callable

import pytest
from django.test import Client

from apps.fleet import sync_coordinator
from apps.fleet.models import Endpoint, Operation, Pool
from tests import factories
from tests.dashboard.messages import said


def test_assign_endpoint_is_moved(staff: Client, pool: Pool) -> None:
    factories.endpoint("stray")
    assert "stray is now in pool lab." in said(staff.post("/endpoints/stray/pool", {"pool": "lab"}))
    assert Endpoint.objects.get(name="stray").pool == pool
    assert "stray is now in no pool." in said(staff.post("/endpoints/stray/pool", {"pool": ""}))
    assert Endpoint.objects.get(name="stray").pool is None


def test_assign_endpoint_unknown_pool_changes_nothing(staff: Client, pool: Pool) -> None:
    assert "no longer exists" in said(staff.post("/endpoints/box/pool", {"pool": "none"}))
    assert Endpoint.objects.get(name="box").pool == pool


@pytest.mark.parametrize("make", [factories.queued, factories.leased])
def test_cancel_operation_before_pacman_is_cancelled(staff: Client, make: Callable[[], Operation]) -> None:
    operation = make()
    assert "Cancel it" in staff.get(f"/operations/{operation.pk}").content.decode()
    assert "was cancelled" in said(staff.post(f"/operations/{operation.pk}/cancel"))
    operation.refresh_from_db()
    assert operation.status == "cancelled"
    page = staff.get(f"/operations/{operation.pk}").content.decode()
    assert ">Cancelled by ada.</p>" in page


def test_cancel_applying_operation_is_refused(staff: Client) -> None:
    operation = factories.applying()
    assert "Cancel it" not in staff.get(f"/operations/{operation.pk}").content.decode()
    assert said(staff.post(f"/operations/{operation.pk}/cancel"))
    operation.refresh_from_db()
    assert operation.status == "applying"


def test_forget_endpoint_is_gone(staff: Client, pool: Pool) -> None:
    assert staff.get("/endpoints/box/delete").status_code == 200
    assert "box was forgotten" in said(staff.post("/endpoints/box/delete"))
    assert not Endpoint.objects.filter(name="box").exists()


def test_forget_endpoint_while_leased_is_refused(staff: Client) -> None:
    operation = factories.leased()
    answer = staff.post(f"/endpoints/{operation.endpoint.name}/delete")
    assert answer["Location"] == f"/endpoints/{operation.endpoint.name}"
    assert said(answer)
    assert Endpoint.objects.filter(pk=operation.endpoint.pk).exists()


def test_operation_page_shows_the_agents_words(staff: Client) -> None:
    operation = factories.leased()
    sync_coordinator.finish(
        operation_id=operation.pk,
        endpoint=operation.endpoint,
        lease_token=operation.lease_token or uuid.uuid4(),
        outcome="failed",
        seq=operation.endpoint.report_seq + 1,
        state=operation.base_state_id,
        code="file_conflict",
        message="<b>conflicting files</b>",
        hint="Move `/usr/bin/app` <away>.",
        log_tail="error: failed to commit",
    )
    page = staff.get(f"/operations/{operation.pk}").content.decode()
    assert "&lt;b&gt;conflicting files&lt;/b&gt;" in page
    assert "error: failed to commit" in page
    assert "What to do: Move <code>/usr/bin/app</code> &lt;away&gt;." in page
