"""Pages about packages: the search, one package, what is on an endpoint or in a state, and comparisons."""

import re

import pytest
from django.test import Client

from apps.fleet.models import Endpoint, Pool
from tests import factories


@pytest.fixture
def lab(db: None) -> Pool:
    """box is behind the target of the pool lab; both have openssl, in different versions; `spare` is in no pool."""
    pool = factories.pool("lab")
    factories.target(pool, "openssl 3.0.10-1", "linux 2-1 dependency")
    state = factories.state("openssl 3.0.1-1", "linux 2-1 dependency", "yay 1-1")
    core = factories.repository("openssl 3.0.10-1", "linux 2-1")
    box = factories.endpoint("box", pool=pool)
    factories.report(box, state, factories.reported_repository(core), holds=["linux"])
    factories.reporting_endpoint("spare", state=factories.state("zlib 1-1"))
    return pool


def text(page: bytes) -> str:
    """The page's words, without what is hidden in attributes."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.decode().partition("<main")[2]))


def test_search_box_is_on_every_page_and_finds(reader: Client, lab: Pool) -> None:
    for path in ("/", "/endpoints/box", "/operations", "/packages/linux"):
        assert b'action="/packages"' in reader.get(path).content, path
    found = reader.get("/packages?q=l").content
    assert [name for name in ("openssl", "linux", "zlib") if f'href="/packages/{name}"'.encode() in found] == [
        "openssl",
        "linux",
        "zlib",
    ]
    assert reader.get("/packages?q=zli").headers["Location"] == "/packages/zlib"
    assert "No endpoint has reported a package with “nothing” in its name" in text(
        reader.get("/packages?q=nothing").content
    )
    assert reader.get("/packages?q=%00").status_code == 200


def test_package_page_versions_with_pools_and_links(reader: Client, lab: Pool) -> None:
    page = reader.get("/packages/openssl")
    words = text(page.content)
    assert words.index("3.0.10-1") < words.index("3.0.1-1")
    assert "2 endpoints have it" in words and "1 is without it" in words
    for address in ("/packages/openssl?version=3.0.1-1", "/pools/lab", "/packages/openssl?missing=1", "/endpoints/box"):
        assert f'href="{address}"'.encode() in page.content, address


@pytest.mark.parametrize(
    ("query", "there"),
    [
        ("older_than=3.0.10-1", {"box"}),
        ("newer_than=3.0.1", set()),
        ("version=3.0.1", {"box"}),
        ("missing=1", {"spare"}),
        ("pool=-", set()),
        ("pool=lab&older_than=3.0.2", {"box"}),
    ],
)
def test_package_page_filters(reader: Client, lab: Pool, query: str, there: set[str]) -> None:
    page = reader.get(f"/packages/openssl?{query}").content.decode().partition('id="who"')[2]
    assert {name for name in ("box", "spare") if f'href="/endpoints/{name}"' in page} == there


def test_package_page_question_that_makes_no_sense_is_a_sentence(reader: Client, lab: Pool) -> None:
    answer = reader.get("/packages/openssl?missing=1&version=3")
    assert answer.status_code == 422 and "not for both" in text(answer.content)
    assert reader.get("/packages/-x").status_code == 404


def test_package_nobody_has_says_so(reader: Client, lab: Pool) -> None:
    words = text(reader.get("/packages/nobody").content)
    assert "No endpoint has it; 3 are without it" in words


def test_endpoint_packages_with_repository_and_what_is_kept(reader: Client, lab: Pool) -> None:
    page = reader.get("/endpoints/box/packages").content
    rows = re.findall(r"<tr>.*?</tr>", page.decode(), re.DOTALL)[1:]
    seen = {re.findall(r'href="/packages/([^"]+)"', row)[0]: row for row in rows}
    assert set(seen) == {"openssl", "linux", "yay"}
    assert "held" in seen["linux"] and "core" in seen["openssl"] and "foreign" in seen["yay"]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("q=ss", ["openssl"]),
        ("reason=dependency", ["linux"]),
        ("foreign=yes", ["yay"]),
        ("foreign=no&held=no", ["openssl"]),
        ("held=yes", ["linux"]),
        ("repository=core", ["linux", "openssl"]),
        ("repository=-", ["yay"]),
        ("q=none", []),
        ("reason=nonsense&foreign=perhaps", ["linux", "openssl", "yay"]),
    ],
)
def test_endpoint_packages_filters(reader: Client, lab: Pool, query: str, names: list[str]) -> None:
    page = reader.get(f"/endpoints/box/packages?{query}").content.decode()
    assert re.findall(r'<th scope="row" class="mono"><a href="/packages/([^"]+)"', page) == names


def test_endpoint_packages_before_the_first_report(reader: Client, db: None) -> None:
    factories.endpoint("new")
    assert "It has not reported its packages yet" in text(reader.get("/endpoints/new/packages").content)
    assert reader.get("/endpoints/none/packages").status_code == 404


def test_state_page_says_who_is_in_it(reader: Client, lab: Pool) -> None:
    assert lab.target
    page = reader.get(f"/states/{lab.target.state_id}").content
    words = text(page)
    source = lab.target.source_endpoint
    assert source and f"Endpoints with this state now {source.name}" in words and "lab #1" in words
    assert "openssl" in words and "Repository" not in words
    assert reader.get(f"/states/{'0' * 64}").status_code == 404


def test_revision_packages_filter_by_reason_and_repository(reader: Client, lab: Pool) -> None:
    path = "/pools/lab/revisions/1/packages"
    for query, names in (
        ("reason=dependency", ["linux"]),
        ("repository=core", ["linux", "openssl"]),
        ("q=ope", ["openssl"]),
    ):
        page = reader.get(f"{path}?{query}").content.decode()
        assert re.findall(r'<th scope="row" class="mono"><a href="/packages/([^"]+)"', page) == names, query


def test_every_count_and_digest_leads_to_its_packages(staff: Client, lab: Pool) -> None:
    box = Endpoint.objects.get(name="box")
    done = factories.synced(box)
    links = {
        "/endpoints/box": ["/endpoints/box/packages", f"/states/{done.target_state_id}", "/endpoints/box/timeline"],
        f"/operations/{done.pk}": [
            f"/states/{done.base_state_id}",
            f"/states/{done.target_state_id}",
            f"/compare?from=state%3A{done.base_state_id}&amp;to=state%3A{done.target_state_id}",
        ],
        "/pools/lab/target": ["/endpoints/box/packages"],
        "/pools/lab/revisions/1": ["/pools/lab/revisions/1/packages", f"/states/{lab.target and lab.target.state_id}"],
    }
    for path, addresses in links.items():
        page = staff.get(path).content.decode()
        assert [one for one in addresses if f'href="{one}"' not in page] == [], path
        for address in addresses:
            assert staff.get(address.replace("&amp;", "&")).status_code == 200, address


def test_compare_shows_changes_by_kind_and_name(reader: Client, lab: Pool) -> None:
    path = "/compare?from=endpoint:box&to=revision:lab/1"
    words = text(reader.get(path).content)
    assert "From box to lab #1" in words and "3.0.1-1" in words and "3.0.10-1" in words and "yay" in words
    for more, there in (
        ("&kind=upgrade", {"openssl"}),
        ("&kind=remove", {"yay"}),
        ("&q=open", {"openssl"}),
        ("&q=x", set()),
    ):
        page = reader.get(path + more).content.decode()
        found = {name for name in ("openssl", "yay") if f'class="mono">{name}<' in page}
        assert found == there, more


def test_compare_equal_sides_and_sides_that_are_none(reader: Client, lab: Pool) -> None:
    assert "Both have the same packages" in text(reader.get("/compare?from=endpoint:box&to=endpoint:box").content)
    assert reader.get("/compare").status_code == 200
    for wrong, said in (
        ("nothing", "Name a set of packages as endpoint:NAME"),
        ("endpoint:none", "no such endpoint"),
        ("state:x", "no such state"),
    ):
        answer = reader.get(f"/compare?from=endpoint:box&to={wrong}")
        assert answer.status_code == 422 and f"To: {'' if 'Name' in said else 'There is '}{said}" in text(
            answer.content
        )
