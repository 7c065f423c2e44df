"""Known vulnerabilities on the pages of the fleet, a pool and an endpoint, and the page that lists them."""

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.db.models import F
from django.test import Client

from apps.fleet import pool_manager
from apps.fleet.models import Endpoint, Pool
from apps.vulnerabilities import comparison, fetching
from apps.vulnerabilities.models import TrackerList
from tests import factories
from tests.dashboard.test_browser_rules import INLINE
from tests.dashboard.test_queries import queries
from tests.vulnerabilities.lists import URL, entry, store, store_and_compare

PAGES = ("/", "/pools/lab", "/endpoints/box", "/vulnerabilities", "/vulnerabilities?pool=lab&worst=high")


@pytest.fixture
def on(settings: Any) -> None:
    settings.SECURITY_TRACKER_URL = URL


@pytest.fixture
def vulnerable(on: None, pool: Pool) -> Pool:
    """Pool lab: its target `app 2-1` fixes AVG-1 of `box`, which has `app 1-1`; AVG-2 of app has no fix."""
    store_and_compare(
        entry(1, "app", fixed="2-1", severity="Critical"),
        entry(2, "app", severity="Low", issues=["CVE-2022-1", "CVE-2022-2"]),
        entry(3, "gone", severity="High"),
    )
    TrackerList.objects.update(as_of=F("as_of") - timedelta(hours=3, minutes=5))
    return pool


def page_of(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def words(html: str) -> str:
    text = " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())
    return re.sub(r" ([.,:])", r"\1", text)


def section(page: str) -> str:
    """The words of the section about known vulnerabilities."""
    found = re.search(r'<section class="panel" id="vulnerabilities".*?</section>', page, re.DOTALL)
    assert found, "no such section"
    return words(found[0])


def test_endpoint_page_has_versions_severity_links_and_what_the_target_does(staff: Client, vulnerable: Pool) -> None:
    page = page_of(staff, "/endpoints/box")
    text = section(page)
    assert "1 package by the list of 3 h ago" in text
    assert re.search(r"app AVG-1 1-1 2-1 ! critical AVG-1 CVE-2022-0001 ✓ fixes it 2-1", text)
    assert re.search(r"app AVG-2 1-1 no version yet ▼ low AVG-2 CVE-2022-1 CVE-2022-2 ✗ is affected, too 2-1", text)
    assert 'href="https://security.archlinux.org/AVG-1" rel="noreferrer"' in page
    assert 'href="https://security.archlinux.org/CVE-2022-2" rel="noreferrer"' in page


def test_endpoint_page_says_what_no_sync_touches_and_what_it_removes(staff: Client, on: None) -> None:
    pool = factories.pool("lab", excluded_packages=["kept"])
    factories.target(pool, "app 2-1")
    state = factories.state("app 1-1", "kept 1-1", "extra 1-1")
    factories.reporting_endpoint("box", pool=pool, state=state)
    store_and_compare(entry(1, "kept", fixed="2-1"), entry(2, "extra"))
    text = section(page_of(staff, "/endpoints/box"))
    assert "kept AVG-1 1-1 2-1 ▲ high AVG-1 CVE-2022-0001 ‖ leaves it alone" in text
    assert "extra AVG-2 1-1 no version yet ▲ high AVG-2 CVE-2022-0002 − removes it" in text


def test_endpoint_page_without_a_target_has_no_column_for_it(staff: Client, on: None) -> None:
    factories.reporting_endpoint("box", state=factories.state("app 1-1"))
    store_and_compare(entry(1, "app"))
    text = section(page_of(staff, "/endpoints/box"))
    assert "The target" not in text and "AVG-1" in text


def test_endpoint_page_not_affected_not_compared_and_no_list_differ(staff: Client, on: None) -> None:
    factories.reporting_endpoint("box", state=factories.state("app 1-1"))
    assert section(page_of(staff, "/endpoints/box")).endswith("no list yet Not compared yet: there is no list.")
    store(entry(1, "app"))
    assert section(page_of(staff, "/endpoints/box")).endswith("Not compared yet.")
    store_and_compare(entry(1, "other"))
    text = section(page_of(staff, "/endpoints/box"))
    assert "No known vulnerability in installed packages." in text and "by the list of" in text


def test_endpoint_that_never_reported_has_no_section(staff: Client, on: None) -> None:
    factories.endpoint("box")
    assert 'id="vulnerabilities"' not in page_of(staff, "/endpoints/box")


def test_pool_page_counts_machines_and_looks_at_the_target(staff: Client, vulnerable: Pool) -> None:
    text = section(page_of(staff, "/pools/lab"))
    assert "by the list of 3 h ago" in text
    # `box` has AVG-1; the target's source has only AVG-2.
    assert "1 critical 0 high 0 medium 1 low 0 none" in text
    assert "Target #1: 1 affected package, ▼ low at worst: app." in text
    store_and_compare(entry(1, "app", fixed="2-1"))
    text = section(page_of(staff, "/pools/lab"))
    assert "Target #1: no known vulnerability in its packages." in text and "1 high" in text
    store(entry(1, "other"))
    text = section(page_of(staff, "/pools/lab"))
    assert "Target #1: not compared yet." in text and "2 not compared yet" in text
    assert "No known vulnerability" not in text


def test_overview_has_machines_by_worst_severity_and_the_age(staff: Client, vulnerable: Pool) -> None:
    page = page_of(staff, "/")
    assert "by the list of 3 h ago Advisories and endpoints 1 critical 0 high 0 medium 1 low 0 none" in section(page)
    assert 'href="/vulnerabilities?worst=critical"' in page
    store_and_compare(entry(1, "other"))
    assert "No known vulnerability in installed packages." in section(page_of(staff, "/"))


@pytest.mark.parametrize("path", ["/", "/pools/lab", "/endpoints/box", "/vulnerabilities"])
def test_pages_say_that_getting_the_list_failed(
    staff: Client, vulnerable: Pool, path: str, settings: Any, tmp_path: Any
) -> None:
    settings.SECURITY_TRACKER_URL = str(tmp_path / "none.json")
    TrackerList.objects.update(attempted=None)
    fetching.fetch_if_due()
    text = words(page_of(staff, path))
    assert "The last attempt to get the list failed" in text and "none.json can't be read: No such file" in text
    assert "AVG-2" in text or "1 critical" in text


def test_page_lists_advisories_and_endpoints(reader: Client, vulnerable: Pool) -> None:
    text = words(page_of(reader, "/vulnerabilities"))
    assert "3 advisories, of 3 h ago, from https://tracker.example/all.json." in text
    assert re.search(r"AVG-1 ! critical app 2-1 CVE-2022-0001 1 AVG-2 ▼ low app no version yet", text)
    assert re.search(r"box lab ! critical 1 0 0 1 0 ", text)
    answer = reader.get("/vulnerabilities?worst=low&pool=lab")
    assert [worst for _, worst in answer.context["endpoints"]] == ["low"]
    assert "Advisories 1, all that endpoints have whose worst is low" in words(answer.content.decode())
    assert [one.advisory.name for one in answer.context["advisories"]] == ["AVG-2"]
    assert list(reader.get("/vulnerabilities?pool=-").context["page"]) == []


@pytest.mark.parametrize(
    ("worst", "label", "names"),
    [("none", "none", ["clean"]), ("not_compared", "not compared", ["late"]), ("unreported", "unreported", ["silent"])],
)
def test_tiles_lead_to_those_who_are_not_affected(
    reader: Client, vulnerable: Pool, worst: str, label: str, names: list[str]
) -> None:
    factories.reporting_endpoint("clean", state=factories.state("other 1-1"))
    comparison.compare_all(60)
    factories.reporting_endpoint("late", state=factories.state("app 1-9"))
    factories.endpoint("silent")
    assert f'href="/vulnerabilities?worst={worst}"' in page_of(reader, "/vulnerabilities")
    answer = reader.get(f"/vulnerabilities?worst={worst}")
    assert [(one.name, level) for one, level in answer.context["endpoints"]] == [(names[0], worst)]
    text = words(answer.content.decode())
    assert f"Endpoints 1, {label}" in text and "None is known to concern these endpoints." in text
    assert ("nothing is known" in text) == (worst != "none")


def test_misspelled_filter_is_named(reader: Client, vulnerable: Pool) -> None:
    text = words(page_of(reader, "/vulnerabilities?severity=high&page=1&advisories=1"))
    assert "severity: there is no such filter here. It was ignored." in text and "page: there" not in text


def test_page_links_to_what_it_shows_as_a_file(reader: Client, vulnerable: Pool) -> None:
    page = page_of(reader, "/vulnerabilities?worst=low&pool=lab")
    links = [unescape(one) for one in re.findall(r'href="(/api/v1/exports/[^"]*format=csv)"', page)]
    first, second = (reader.get(link).content.decode().splitlines() for link in links)
    assert [line.partition(",")[0] for line in first] == ["name", "AVG-2"]
    assert [line.partition(",")[0] for line in second] == ["name", Endpoint.objects.exclude(name="box").get().name]


def test_page_ignores_what_makes_no_sense(reader: Client, vulnerable: Pool) -> None:
    text = words(page_of(reader, "/vulnerabilities?worst=terrible&pool=nowhere&page=9&advisories=x"))
    assert "there is no terrible" in text and "there is no pool nowhere" in text


def test_pages_show_nothing_while_it_is_off(staff: Client, vulnerable: Pool, settings: Any) -> None:
    settings.SECURITY_TRACKER_URL = ""
    for path in ("/", "/pools/lab", "/endpoints/box"):
        assert "vulnerab" not in page_of(staff, path).lower()
    assert "set SECURITY_TRACKER_URL" in page_of(staff, "/vulnerabilities")


@pytest.mark.parametrize("path", PAGES)
def test_pages_follow_the_browsers_rules(staff: Client, vulnerable: Pool, path: str) -> None:
    answer = staff.get(path)
    page = answer.content.decode()
    assert not INLINE.search(answer.content) and "{{" not in page and ">None<" not in page
    assert not re.search(r'(?:src|action)="(?:https?:)?//', page)
    for link in re.findall(r'<a [^>]*href="https?://[^>]*>', page):
        assert "https://security.archlinux.org" in link and 'rel="noreferrer"' in link
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    for table in re.findall(r"<table.*?</table>", page, re.DOTALL):
        assert "<caption" in table and re.search(r"<th(?! scope|ead)", table) is None


def test_ten_times_the_endpoints_same_number_of_queries(staff: Client, vulnerable: Pool) -> None:
    def grow(count: int) -> None:
        for _ in range(count):
            number = Endpoint.objects.count()
            state = factories.state(f"app 1-1.{number}", f"gone {number}-1")
            factories.reporting_endpoint(pool=vulnerable, state=state)
        store_and_compare(
            *(entry(number, "app", "gone", severity="High") for number in range(1, 4 + Endpoint.objects.count()))
        )
        pool_manager.go_back(pool=vulnerable, number=1, actor="test")
        vulnerable.refresh_from_db()

    grow(3)
    few = {path: queries(staff, path) for path in PAGES}
    grow(27)
    many = {path: queries(staff, path) for path in PAGES}
    assert {path: count for path, count in many.items() if count > few[path]} == {}
