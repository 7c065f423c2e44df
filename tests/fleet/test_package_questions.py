"""Questions about a package: pacman's order, the words, pools, and what makes no sense."""

import pytest

from apps.fleet import package_questions
from apps.fleet.exceptions import Invalid, NotFound
from apps.fleet.models import Endpoint
from apps.fleet.package_questions import EndpointVersion, Question
from tests import factories

pytestmark = pytest.mark.django_db
VERSIONS = ["3.0.1-1", "3.0.10-1", "1:1.0-1", "3.0.1-2"]


@pytest.fixture
def lab() -> None:
    """m0 to m3 have openssl in VERSIONS, m2 and m3 in no pool; m4 has none, m5 never reported."""
    pool = factories.pool("lab")
    for number, version in enumerate(VERSIONS):
        state = factories.state(f"openssl {version}", "app 1-1")
        factories.reporting_endpoint(f"m{number}", pool=pool if number < 2 else None, state=state)
    factories.reporting_endpoint("m4", pool=pool, state=factories.state("app 1-1"))
    factories.endpoint("m5")


def names(**words: object) -> list[str]:
    return [one.name for one in package_questions.endpoints("openssl", Question(**words))]  # type: ignore[arg-type]


def test_in_fleet_versions_newest_first_by_pool(lab: None) -> None:
    found = package_questions.in_fleet("openssl")
    assert [one.version for one in found.versions] == ["1:1.0-1", "3.0.10-1", "3.0.1-2", "3.0.1-1"]
    assert [(one.pools, one.unassigned) for one in found.versions] == [
        ({}, 1),
        ({"lab": 1}, 0),
        ({}, 1),
        ({"lab": 1}, 0),
    ]
    assert (found.endpoints, found.missing, found.unreported) == (4, 1, 1)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ({}, "0123"),
        ({"older_than": "3.0.10-1"}, "03"),
        ({"older_than": "3.0.2"}, "03"),
        ({"older_than": "3.0.1"}, ""),  # without a pkgrel all builds of 3.0.1 are equal to it
        ({"older_than": "3.0.1-2"}, "0"),
        ({"newer_than": "99"}, "2"),  # an epoch is newer than any version without one
        ({"newer_than": "3.0.1-1", "older_than": "1:0"}, "13"),
        ({"version": "3.0.1"}, "03"),
        ({"version": "3.00.1-1"}, "0"),
        ({"version": "4"}, ""),
        ({"missing": True}, "4"),
        ({"missing": True, "pool": "-"}, ""),
        ({"pool": "lab"}, "01"),
        ({"pool": "-", "older_than": "4"}, "3"),
        ({"pool": "none"}, ""),
    ],
)
def test_endpoints_each_word(lab: None, words: dict[str, object], found: str) -> None:
    assert names(**words) == [f"m{number}" for number in found]


def test_endpoints_with_pool_and_version_after_a_name(lab: None) -> None:
    found = package_questions.endpoints("openssl", Question(), after="m0")
    assert found == [
        EndpointVersion("m1", "lab", "3.0.10-1"),
        EndpointVersion("m2", None, "1:1.0-1"),
        EndpointVersion("m3", None, "3.0.1-2"),
    ]


@pytest.mark.parametrize(
    ("words", "field"),
    [
        ({"missing": True, "older_than": "1"}, "missing"),
        ({"missing": True, "version": "1"}, "missing"),
        ({"older_than": ""}, "older_than"),
        ({"newer_than": "1 2"}, "newer_than"),
        ({"version": "1\0"}, "version"),
        ({"version": "1" * 256}, "version"),
    ],
)
def test_question_that_makes_no_sense_is_refused_at_its_field(words: dict[str, object], field: str) -> None:
    with pytest.raises(Invalid) as refusal:
        names(**words)
    assert refusal.value.extra == {"field": field}


@pytest.mark.parametrize("name", ["", "-x", "a b", "a/b", "a\0", "é", "x" * 256])
def test_name_that_no_package_can_have_is_not_found(name: str) -> None:
    with pytest.raises(NotFound):
        package_questions.in_fleet(name)
    with pytest.raises(NotFound):
        package_questions.endpoints(name, Question())


def test_package_that_nobody_has_is_an_answer(lab: None) -> None:
    found = package_questions.in_fleet("nobody")
    assert (found.versions, found.endpoints, found.missing) == ([], 0, 5)
    assert len(package_questions.endpoints("nobody", Question(missing=True))) == 5


def test_same_version_for_two_architectures_is_one_line() -> None:
    for arch in ("x86_64", "any"):
        factories.reporting_endpoint(state=factories.state(f"app 1-1 {arch}"))
    (only,) = package_questions.in_fleet("app").versions
    assert (only.version, only.unassigned) == ("1-1", 2)


def test_search_exact_name_first_then_beginnings_each_once(lab: None) -> None:
    factories.state("libssl 1-1", "ssl 1-1", "ssl-tools 1-1", "a_b 1-1", "axb 1-1")
    factories.state("ssl 2-1")
    assert list(package_questions.search("ssl")) == ["ssl", "ssl-tools", "libssl", "openssl"]
    assert list(package_questions.search("a_b")) == ["a_b"]  # nothing in it is a pattern


def test_having_narrows_a_list(lab: None) -> None:
    found = package_questions.having(Endpoint.objects.order_by("name"), "openssl")
    assert [one.name for one in found] == ["m0", "m1", "m2", "m3"]
    assert not package_questions.having(Endpoint.objects.all(), "nobody-has-it").exists()
