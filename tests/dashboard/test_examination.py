"""What an endpoint found about itself, on its page and where it is to become the target."""

import pytest
from django.contrib.messages import get_messages
from django.test import Client

from apps.fleet.models import Endpoint, Pool
from tests import factories
from tests.dashboard.confirming import confirm

pytestmark = pytest.mark.django_db
PATH = "/pools/lab/target/box"


def page(client: Client, path: str = PATH) -> str:
    return client.get(path).content.decode()


def box(*codes: str) -> Endpoint:
    """The endpoint `box` of the pool `lab`, with a problem of each code."""
    found = [factories.problem(code, "app<b>") for code in codes]
    return factories.reporting_endpoint("box", pool=factories.pool("lab"), state=factories.state(), examination=found)


def target() -> int | None:
    pool = Pool.objects.select_related("target").get(name="lab")
    return pool.target.number if pool.target else None


def test_set_target_sound_source_says_nothing(staff: Client) -> None:
    box()
    assert "notice" not in page(staff) and "Use it anyway" not in page(staff)


def test_set_target_warning_is_shown_and_no_obstacle(staff: Client) -> None:
    box("held_back")
    found = page(staff)
    assert "Something is wrong with app&lt;b&gt;." in found and "<code>held_back</code>" in found
    assert "Use it anyway" not in found
    confirm(staff, PATH)
    assert target() == 1


def test_set_target_forcible_problem_needs_the_box_to_be_ticked(staff: Client) -> None:
    box("half_upgraded")
    found = page(staff)
    assert "isn&#x27;t a sound source" in found or "isn't a sound source" in found
    assert 'name="force"' in found
    answer = confirm(staff, PATH)
    said = " ".join(str(message) for message in get_messages(answer.wsgi_request))
    assert "Something is wrong with app" in said and target() is None
    confirm(staff, PATH, force="on")
    assert target() == 1


def test_set_target_refusing_problem_has_no_button_and_no_way(staff: Client) -> None:
    box("broken_entries", "half_upgraded")
    assert '<button class="primary">' not in page(staff)
    confirm(staff, PATH, force="on")
    assert target() is None


def test_endpoint_page_shows_its_problems(staff: Client) -> None:
    box("half_upgraded", "held_back")
    found = page(staff, "/endpoints/box")
    assert "<code>half_upgraded</code>" in found and "<code>held_back</code>" in found
    assert "It can't be the source of a target unless you override this." in found
    assert "Check this before you make it the target." in found


@pytest.mark.parametrize(
    ("code", "sentence", "other"),
    [
        ("broken_entries", "It can't be the source of a target.", "Check this before"),
        ("upgrades_pending", "Check this before you make it the target.", "It can't be the source"),
    ],
)
def test_endpoint_page_says_what_its_problems_mean(staff: Client, code: str, sentence: str, other: str) -> None:
    box(code)
    found = page(staff, "/endpoints/box")
    assert sentence in found and other not in found


def test_endpoint_page_never_examined_says_nothing(staff: Client) -> None:
    factories.reporting_endpoint("box", pool=factories.pool("lab"), state=factories.state())
    found = page(staff, "/endpoints/box")
    assert "the source of a target" not in found and "Check this" not in found
    assert "has not reported whether" in page(staff)


@pytest.mark.parametrize("path", ["/endpoints", "/endpoints/box"])
def test_files_that_differ_are_said_beside_in_sync(staff: Client, path: str) -> None:
    badge = "</span>in sync, files differ</span>"  # not the filter's option
    endpoint = box("files_differ")
    assert badge not in page(staff, path)  # there is no target yet
    confirm(staff, PATH)
    assert badge in page(staff, path)
    endpoint.examination = [factories.problem("modes_differ", "app")]
    endpoint.save()
    assert badge not in page(staff, path)


def test_files_that_differ_have_a_count_and_a_notice_of_their_own(staff: Client) -> None:
    pool, state = factories.pool("lab"), factories.target(factories.pool("other"), "app 1-1").state
    found = [factories.problem("files_differ", "app"), factories.problem("held_back", "app")]
    found[0]["text"] = "Files differ: /usr/bin/app. `pacsync-agent sync --repair` puts them back."
    factories.reporting_endpoint("box", pool=pool, state=state, examination=found)
    factories.reporting_endpoint("good", pool=pool, state=state)
    confirm(staff, "/pools/lab/target/good")
    for path in ("/", "/pools/lab"):
        counts = staff.get(path).context["counts"]
        assert (counts["files_differ"], sum(counts.values())) == (1, Endpoint.objects.count() if path == "/" else 2)
        order = list(counts)
        assert order.index("files_differ") < order.index("offline")
    for chosen, name in (("files_differ", "box"), ("in_sync", "good")):
        rows = staff.get(f"/endpoints?pool=lab&status={chosen}").context["rows"]
        assert [row.endpoint.name for row in rows] == [name]
        exported = staff.get(f"/endpoints?pool=lab&status={chosen}").context["exported"]
        lines = staff.get(f"/api/v1/exports/endpoints?{exported}").content.decode().splitlines()
        assert [line.split(",")[0] for line in lines] == ["name", name]
    shown = page(staff, "/endpoints/box")
    notice, _, after = shown.partition("Check this before you make it the target.")
    assert "Files on its disk differ from its packages." in notice and "held_back" in after
    assert "<code>pacsync-agent sync --repair</code> puts them back." in notice and "files_differ" not in after
    assert "It has target #1&#x27;s packages, but files on its disk differ from them." in notice
    assert "There is nothing to sync: 2 already in sync." in " ".join(
        str(message) for message in get_messages(staff.get("/pools/lab/sync").wsgi_request)
    )


def test_what_a_sync_left_to_do_is_on_the_pages_of_the_endpoint_and_its_pool(staff: Client) -> None:
    box("reboot_needed", "services_outdated", "units_failed")
    shown = page(staff, "/endpoints/box")
    assert "Left to do on the machine." in shown and "Check this before you make it the target." not in shown
    assert "<code>reboot_needed</code>" in shown
    shown = " ".join(page(staff, "/pools/lab").split())
    for code, words in (
        ("reboot_needed", "1 needs a reboot"),
        ("services_outdated", "1 with services to restart"),
        ("units_failed", "1 with units that failed since the last sync"),
    ):
        assert f'?pool=lab&amp;after_sync={code}">{words}</a>' in shown
        rows = staff.get(f"/endpoints?pool=lab&after_sync={code}").context["rows"]
        assert [row.endpoint.name for row in rows] == ["box"]
    Endpoint.objects.update(examination=[])
    assert "after_sync=" not in page(staff, "/pools/lab")
