"""Cancelling an operation and running it again: both ask first, say what will happen, and need staff."""

import html
import re
import uuid
from collections.abc import Callable

import pytest
from django.test import Client
from django.utils.html import strip_tags

from apps.fleet import pool_manager, sync_coordinator
from apps.fleet.models import AuditEvent, Endpoint, Operation, Pool
from tests import factories
from tests.dashboard.confirming import confirm, seen
from tests.dashboard.messages import said
from tests.fleet.operations import fail

pytestmark = pytest.mark.django_db


def text(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", html.unescape(strip_tags(answer.content.decode())))


def failed() -> Operation:
    operation = factories.applying()
    return factories.finish(operation, operation.base_state, outcome="failed", code="pacman_failed")


def test_cancel_asks_first_and_says_what_happens(staff: Client) -> None:
    operation = factories.queued()
    path, name = f"/operations/{operation.pk}/cancel", operation.endpoint.name
    page = text(staff, path)
    assert f"{name} has not started it. Nothing is changed there." in page
    assert "Leave it" in page and "rests on" not in page
    assert Operation.objects.get().status == "queued"
    factories.leased(operation)
    sync_coordinator.heartbeat(
        operation_id=operation.pk,
        endpoint=operation.endpoint,
        lease_token=operation.lease_token,  # type: ignore[arg-type]
        phase="leased",
        progress={"phase": "downloading", "done": 1, "total": 3},
    )
    page = text(staff, path)
    assert f"{name} has it and prepares (Downloading packages: 1 of 3). Its agent stops at its next heartbeat" in page
    assert "was cancelled" in said(staff.post(path))
    assert AuditEvent.objects.get(verb="cancelled").actor == "user:ada"


def test_cancel_says_that_automatic_sync_will_rest(staff: Client) -> None:
    operation = factories.queued()
    pool_manager.change_pool(pool=Pool.objects.get(), actor="test", auto_sync=True)
    page = text(staff, f"/operations/{operation.pk}/cancel")
    assert f"Automatic sync of {operation.endpoint.pool} then rests on {operation.endpoint.name} until" in page


@pytest.mark.parametrize(
    ("make", "sentence"), [(factories.applying, "it is never killed"), (failed, "There is nothing to cancel")]
)
def test_cancel_that_is_too_late_says_why(staff: Client, make: Callable[[], Operation], sentence: str) -> None:
    operation = make()
    answer = staff.get(f"/operations/{operation.pk}/cancel")
    assert answer["Location"] == f"/operations/{operation.pk}" and sentence in said(answer)


def test_run_again_shows_what_it_would_change_then_does_it_once(staff: Client) -> None:
    operation = failed()
    path = f"/operations/{operation.pk}/run-again"
    assert f'href="{path}"' in staff.get(f"/operations/{operation.pk}").content.decode()
    factories.target(Pool.objects.get(), "app 3.0-1")
    page = staff.get(path)
    assert [change.after.version for change in page.context["difference"]["changes"]] == ["3.0-1"]
    words = text(staff, path)
    assert "is brought to target #2" in words and "The earlier operation went to #1." in words
    assert "Last time it failed: It was pacman_failed." in words
    form = seen(staff, path)
    answers = [staff.post(path, form) for _ in range(2)]
    made = Operation.objects.get(status="queued")
    assert [answer["Location"] for answer in answers] == [f"/operations/{made.pk}"] * 2
    assert (made.author, AuditEvent.objects.get(verb="run_again").actor) == ("user:ada", "user:ada")
    assert f"ran the sync of {made.endpoint.name} again" in text(staff, "/audit")


def test_run_again_to_another_target_than_was_shown_asks_again(staff: Client) -> None:
    path = f"/operations/{failed().pk}/run-again"
    form = seen(staff, path)
    factories.target(Pool.objects.get(), "app 3.0-1")
    answer = staff.post(path, form)
    assert answer["Location"] == path and ", not the one that was shown." in said(answer)
    assert "The form was incomplete, so nothing was done." in said(staff.post(path, {"idempotency_key": uuid.uuid4()}))
    assert Operation.objects.count() == 1
    confirm(staff, path)
    assert Operation.objects.filter(status="queued", revision__number=2).count() == 1


def test_run_again_of_a_revert_names_the_sync_that_it_takes_back(staff: Client) -> None:
    synced = factories.finish(factories.applying())
    endpoint = Endpoint.objects.get(pk=synced.endpoint_id)
    revert, _ = sync_coordinator.create_operation(endpoint=endpoint, kind="revert", actor="test")
    factories.finish(factories.applying(revert), synced.target_state, outcome="failed", code="x")
    path = f"/operations/{revert.pk}/run-again"
    assert "go back to their state before the sync that was queued at" in text(staff, path)
    confirm(staff, path)
    assert Operation.objects.get(status="queued").target_state == synced.base_state


def test_run_again_of_what_waits_for_its_next_try_says_that_it_makes_way(staff: Client) -> None:
    operation = fail(factories.queued(), "mirror_failed")
    assert "The operation that waits for its next try is cancelled." in text(
        staff, f"/operations/{operation.pk}/run-again"
    )


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (factories.leased, "only one that has ended, or waits for its next try, is run again."),
        (lambda: factories.finish(factories.applying()), "is there already: nothing would change."),
    ],
)
def test_run_again_that_makes_no_sense_is_refused(staff: Client, make: Callable[[], Operation], sentence: str) -> None:
    operation = make()
    path = f"/operations/{operation.pk}/run-again"
    answer = staff.get(path)
    assert answer["Location"] == f"/operations/{operation.pk}" and sentence in said(answer)
    shown = {"idempotency_key": uuid.uuid4(), "shown": str(operation.revision_id)}
    assert staff.post(path, shown)["Location"] == f"/operations/{operation.pk}"
    assert Operation.objects.count() == 1


@pytest.mark.parametrize("action", ["cancel", "run-again"])
def test_actions_are_for_staff_and_want_a_token_of_the_page(reader: Client, staff: Client, action: str) -> None:
    operation = factories.queued() if action == "cancel" else failed()
    path = f"/operations/{operation.pk}/{action}"
    for answer in (reader.get(path), reader.post(path)):
        assert answer.status_code == 403
    assert f'href="{path}"' not in reader.get(f"/operations/{operation.pk}").content.decode()
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = staff.cookies
    assert strict.post(path).status_code == 403
    assert Operation.objects.get().status == operation.status
