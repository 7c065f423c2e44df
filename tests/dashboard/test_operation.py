"""The page of an operation: its packages from the moment it is queued, what it waits for, what came of it."""

import html
import re
from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.test import Client
from django.utils.html import strip_tags

from apps.fleet import leases, sync_coordinator
from apps.fleet.models import Endpoint, Operation
from tests import factories
from tests.fleet.operations import expire, fail, pass_deadline

pytestmark = pytest.mark.django_db


def source(client: Client, operation: Operation, query: str = "") -> str:
    answer = client.get(f"/operations/{operation.pk}{query}")
    assert answer.status_code == 200
    return answer.content.decode()


def text(client: Client, operation: Operation, query: str = "") -> str:
    return re.sub(r"\s+", " ", html.unescape(strip_tags(source(client, operation, query))))


def rows(client: Client, operation: Operation, query: str = "") -> list[str]:
    return [change.name for change in client.get(f"/operations/{operation.pk}{query}").context["page"]]


def test_queued_operation_shows_its_packages_and_what_it_keeps(reader: Client) -> None:
    pool = factories.pool("lab")
    factories.target(pool, "app 2-1", "lib 2-1", "new 1-1")
    box = factories.reporting_endpoint("box", pool=pool, state=factories.state("app 1-1", "lib 1-1"), holds=["lib"])
    operation, _ = sync_coordinator.create_operation(endpoint=box, kind="sync", actor="test")
    page = text(reader, operation)
    assert "What it will change on box, compared with the packages when it was queued." in page
    assert "1-1 2-1" in page and rows(reader, operation) == ["app", "new"]
    assert "<dt>Held by the machine</dt><dd><code>lib</code>" in source(reader, operation)
    assert "It begins with the machine's next report." in page


def test_packages_of_an_operation_are_filtered_by_kind_and_name(reader: Client) -> None:
    pool = factories.pool("lab")
    factories.target(pool, *(f"p{number:03} 2-1" for number in range(150)), "other 1-1")
    state = factories.state(*(f"p{number:03} 1-1" for number in range(150)), "gone 1-1")
    box = factories.reporting_endpoint("box", pool=pool, state=state)
    operation, _ = sync_coordinator.create_operation(endpoint=box, kind="sync", actor="test")
    assert len(rows(reader, operation)) == 100 and len(rows(reader, operation, "?page=2")) == 52
    assert rows(reader, operation, "?kind=install") == ["other"]
    assert rows(reader, operation, "?kind=upgrade&q=14") == ["p014", "p114", *(f"p{n}" for n in range(140, 150))]
    assert "No change matches." in text(reader, operation, "?q=none")
    assert "kind: there is no such." in text(reader, operation, "?kind=such")


def test_finished_operation_shows_what_it_changed(reader: Client) -> None:
    operation = factories.finish(factories.applying())
    assert f"What changed on {operation.endpoint.name}. " in text(reader, operation)
    assert "It did not reach its goal" not in text(reader, operation)


def test_failed_operation_says_cause_then_remedy_then_names_folded_then_packages(reader: Client) -> None:
    operation = factories.applying()
    sync_coordinator.finish(
        operation_id=operation.pk,
        endpoint=operation.endpoint,
        lease_token=operation.lease_token,  # type: ignore[arg-type]
        outcome="failed",
        seq=operation.endpoint.report_seq + 1,
        state=factories.state("app 1.5-1").digest,
        code="pacman_failed",
        message="The hook 90-x.hook failed.\na 1-1\nb 1-1\nWarnings: none",
        hint="Look at `journalctl`.",
        log_tail="the whole log",
    )
    page = source(reader, operation)
    content = page.index('id="operation" data-live')
    order = [
        "The hook 90-x.hook failed",
        "Look at <code>",
        "3 more lines",
        "a 1-1",
        "the whole log",
        "What it does",
    ]
    places = [page.index(words, content) for words in [*order, "Packages before and after"]]
    assert places == sorted(places)
    assert '<details id="more-of-the-message">' in page
    assert page.index("<p", content) < places[0] < page.index("</p>", content)  # the first paragraph of all
    said = text(reader, operation)
    assert (
        "It did not reach its goal: what is missing ." in said or "It did not reach its goal: what is missing." in said
    )
    assert "Still different from the goal" in said


def test_operation_that_changed_nothing_says_so(reader: Client) -> None:
    operation = factories.applying()
    done = factories.finish(operation, operation.base_state, outcome="failed", code="x")
    assert "It changed no package:" in text(reader, done)


def test_cancelled_and_lost_operations_say_what_is_known(reader: Client) -> None:
    cancelled = sync_coordinator.cancel(operation=factories.queued(), actor="test")
    assert "It ended before pacman was started, and changed nothing." in text(reader, cancelled)
    lost = expire(factories.applying())
    pass_deadline(lost)
    leases.expire_leases()
    assert "It isn't known what it changed on the machine." in text(reader, lost)


def test_operation_of_an_offline_machine_says_since_when_and_the_deadline(reader: Client) -> None:
    operation = factories.queued()
    Endpoint.objects.update(last_seen=Now() - timedelta(hours=5, minutes=1))
    said = text(reader, operation)
    assert "The machine is offline. The operation begins when it is back, if that is before the deadline." in said
    assert "Its last report was 5 h ago, and the deadline is in 23 h." in said


def test_operation_that_waits_for_its_next_try_says_it_once(reader: Client) -> None:
    said = text(reader, fail(factories.queued(), "database_locked"))
    assert said.count("The next try is in") == 2  # the notice and the facts
    assert "It waits for its next try" not in said


def test_states_too_large_to_compare_leave_the_page(reader: Client, settings: object) -> None:
    operation = factories.queued()
    settings.STATE_MAX_PACKAGES = 0  # type: ignore[attr-defined]
    assert "The state has 1 package," in text(reader, operation)


def test_page_without_scripts_has_a_link_to_how_it_is_now_until_the_end(reader: Client) -> None:
    operation = factories.leased()
    assert f'<noscript><p class="small"><a href="/operations/{operation.pk}">' in source(reader, operation)
    assert "<noscript>" not in source(reader, factories.finish(operation))


def test_progress_is_on_the_pages_of_operation_machine_pool_and_fleet(reader: Client) -> None:
    operation = factories.leased()
    far = {"phase": "downloading", "done": 12, "total": 40, "bytes_done": 1 << 20, "bytes_total": 4 << 20}
    sync_coordinator.heartbeat(
        operation_id=operation.pk,
        endpoint=operation.endpoint,
        lease_token=operation.lease_token,  # type: ignore[arg-type]
        phase="leased",
        progress=far | {"package": "linux", "hosts": ["https://a:443", "file://", "http://c:80"]},
    )
    sentence = (
        "Downloading packages: 12 of 40, 1.0 MiB of 4.0 MiB, now linux, from a:443, the machine itself and 1 more."
    )
    name, pool = operation.endpoint.name, operation.endpoint.pool
    for path in (f"/operations/{operation.pk}", f"/endpoints/{name}"):
        page = reader.get(path).content.decode()
        assert sentence in page and '<progress max="100" value="25" aria-label="Progress">' in page, path
    for path in (f"/pools/{pool}", "/endpoints", "/operations", f"/endpoints/{name}"):
        assert "downloading 12 of 40" in reader.get(path).content.decode(), path
    assert "0 of 1 done, 1 downloading" in reader.get("/").content.decode()
    assert "The agent has it and prepares." not in text(reader, operation)
    applying = factories.applying(factories.queued())
    assert "pacman is running." in text(reader, applying).replace("Pacman", "pacman")
    sync_coordinator.heartbeat(
        operation_id=applying.pk,
        endpoint=applying.endpoint,
        lease_token=applying.lease_token,  # type: ignore[arg-type]
        phase="applying",
        progress={"phase": "applying", "done": 3, "total": 23},
    )
    assert "pacman is running: 3 of 23." in text(reader, applying)
    lines = re.sub(r"\s+", " ", html.unescape(strip_tags(reader.get("/operations").content.decode())))
    assert "applying 3 of 23" in lines and "applying applying" not in lines


def test_machine_page_says_what_its_operation_waits_for(reader: Client) -> None:
    operation = factories.queued()
    page = re.sub(r"\s+", " ", reader.get(f"/endpoints/{operation.endpoint.name}").content.decode())
    assert "Sync to #1</a> queued. It begins with the machine's next report. Asked for by" in html.unescape(page)
