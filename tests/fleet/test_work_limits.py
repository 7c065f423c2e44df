"""How large a state may be and how long a comparison may take; each with the same run without the limit."""

from typing import Any

import pytest

from apps.fleet import (
    analysis,
    automatic,
    difference,
    endpoint_manager,
    goals,
    patterns,
    pool_manager,
    states,
    status,
    time_limit,
)
from apps.fleet.alpm import canonical
from apps.fleet.alpm.state import InstalledPackage, to_text
from apps.fleet.bounded_cache import BoundedCache
from apps.fleet.exceptions import ComparisonTooLong, RepositoryTooLarge, StateTooLarge
from apps.fleet.models import PackageVersion, RepositoryContent, State
from apps.fleet.status import EndpointStatus
from apps.fleet.tokens import hash_of
from tests import factories
from tests.api.support import repository_text

pytestmark = pytest.mark.django_db


def text_of(count: int, version: str = "1-1") -> bytes:
    return to_text([InstalledPackage(f"p{number}", version, "any", "explicit") for number in range(count)])


def store(text: bytes) -> State:
    return endpoint_manager.store_state(digest=canonical.digest_of(text), text=text)[0]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The processor time of this thread; every look at it takes a second. A request has 5."""
    time = [0.0]

    def look() -> float:
        time[0] += 1
        return time[0]

    monkeypatch.setattr(time_limit.time, "thread_time", look)
    yield time
    time_limit.end()


def test_state_at_the_limit_is_kept_and_one_more_is_refused(settings: Any) -> None:
    settings.STATE_MAX_PACKAGES = 10
    assert store(text_of(10)).package_count == 10
    with pytest.raises(StateTooLarge, match=r"11 packages.*at most 10.*STATE_MAX_PACKAGES") as refused:
        store(text_of(11))
    assert refused.value.extra == {"packages": 11, "limit": 10, "setting": "STATE_MAX_PACKAGES"}
    assert State.objects.count() == 1 and PackageVersion.objects.count() == 10
    settings.STATE_MAX_PACKAGES = 11
    assert store(text_of(11)).package_count == 11


def test_state_too_large_is_refused_before_it_is_parsed(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.STATE_MAX_PACKAGES = 10
    monkeypatch.setattr(endpoint_manager.state_text, "parse", lambda text: pytest.fail("parsed"))
    with pytest.raises(StateTooLarge):
        store(text_of(11))


def test_repository_at_the_limit_is_kept_and_one_more_is_refused(settings: Any) -> None:
    settings.REPOSITORY_MAX_PACKAGES = 3
    for count in (3, 4):
        text = repository_text(*(f"p{number} 1-1" for number in range(count)))
        if count == 3:
            endpoint_manager.store_repository(digest=canonical.digest_of(text), text=text)
            continue
        with pytest.raises(RepositoryTooLarge, match=r"4 packages.*at most 3.*REPOSITORY_MAX_PACKAGES"):
            endpoint_manager.store_repository(digest=canonical.digest_of(text), text=text)
    assert RepositoryContent.objects.count() == 1


def test_state_of_before_the_limit_is_never_compared_and_its_endpoint_still_reports(settings: Any) -> None:
    pool = factories.pool(auto_sync=True)
    large = factories.reporting_endpoint(pool=pool, state=store(text_of(30)))
    factories.target(pool, *(f"p{number} 2-1" for number in range(5)))
    large.refresh_from_db()
    assert status.of_one(large) == EndpointStatus.BEHIND  # without the limit it is compared
    settings.STATE_MAX_PACKAGES = 10
    large = type(large).objects.with_target().get(pk=large.pk)
    for ask in (
        lambda: states.load(large.state),
        lambda: goals.sync_goal(large),
        lambda: pool_manager.propose(pool=pool, endpoint=large),
    ):
        with pytest.raises(StateTooLarge, match="30 packages"):
            ask()
    assert status.of_one(large) == EndpointStatus.UNKNOWN
    assert status.differences([large]) == {}
    assert automatic.wanted(large) is None
    seen = endpoint_manager.check_in(
        endpoint=large,
        seq=large.report_seq + 1,
        state=large.state_id or "",
        repositories=[
            factories.ReportedRepository(name=row.name, digest=row.content_id, mirrors=tuple(row.mirrors))
            for row in large.repositories.all()
        ],
        holds=[],
        agent_version="1.0.0",
    )
    assert seen.recorded and status.of_reporting(seen.endpoint) == EndpointStatus.UNKNOWN
    settings.STATE_MAX_PACKAGES = 30
    assert status.of_one(large) == EndpointStatus.BEHIND  # nobody remembers that it was too large


def test_comparison_is_given_up_when_its_time_is_used_up(clock: list[float]) -> None:
    one = [InstalledPackage(f"p{number}", "1-1", "any", "explicit") for number in range(5000)]
    time_limit.begin()
    with pytest.raises(ComparisonTooLong, match=r"5 s .*COMPARISON_TIMEOUT"):
        difference.compare(one, [])


def test_comparison_without_a_limit_goes_on(clock: list[float], settings: Any) -> None:
    one = [InstalledPackage(f"p{number}", "1-1", "any", "explicit") for number in range(5000)]
    assert len(difference.compare(one, [])) == 5000  # no request: a chore or a command
    settings.COMPARISON_TIMEOUT = 0
    time_limit.begin()
    assert len(difference.compare(one, [])) == 5000


@pytest.mark.parametrize("what", ["compare", "goal", "among", "matching", "analyse"])
def test_every_comparison_looks_at_the_time(what: str, clock: list[float]) -> None:
    pool = factories.pool(excluded_packages=["x*"])
    factories.target(pool, "a 1-1")
    one = [InstalledPackage(f"p{number}", "1-1", "any", "explicit") for number in range(300)]
    kept = difference.KeptPackages(held=[], foreign=[], excluded=[])
    time_limit.begin()
    clock[0] += 10
    asked = {
        "compare": lambda: difference.compare(one, []),
        "goal": lambda: difference.goal(one, one, kept),
        "among": lambda: kept.among(package.name for package in one),
        "matching": lambda: difference.matching((package.name for package in one), ["p1"]),
        "analyse": lambda: analysis.analyse(pool=pool),
    }
    with pytest.raises(ComparisonTooLong):
        asked[what]()


def test_status_there_is_no_time_for_is_unknown_and_isn_t_remembered(clock: list[float]) -> None:
    pool = factories.pool()
    endpoint = factories.reporting_endpoint(pool=pool, state=factories.state("app 1-1"))
    factories.target(pool, "app 2-1")
    time_limit.begin()
    clock[0] += 10
    assert status.by_packages([endpoint])[endpoint.pk] == EndpointStatus.UNKNOWN
    time_limit.begin()
    clock[0] -= 10
    time_limit.end()
    assert status.by_packages([endpoint])[endpoint.pk] == EndpointStatus.BEHIND


def test_thousand_hostile_patterns_are_given_up(clock: list[float]) -> None:
    hostile = [f"*{letter}*{number}*z" for letter in "abcde" for number in range(200)]
    matcher = patterns.Matcher(hostile)
    time_limit.begin()
    with pytest.raises(ComparisonTooLong):
        for number in range(10_000):
            matcher.matches(f"package-{number}")


def test_plain_patterns_are_looked_up_and_never_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "_compiled", lambda group: pytest.fail("compiled"))
    matcher = patterns.Matcher([f"p{number}" for number in range(1000)])
    assert matcher.matches("p999") and not matcher.matches("q")


@pytest.mark.parametrize(
    ("given", "matches", "misses"),
    [
        (["linux"], ["linux"], ["linux-lts", "Linux", "linu"]),
        (["linux*", "nano"], ["linux", "linux-lts", "nano"], ["nanoo", "alinux"]),
        (["lib?oo"], ["libfoo", "lib?oo"], ["liboo"]),
        (["lib[fb]oo", "lib[^x]oo", "a[!b]"], ["libfoo", "libyoo", "ac"], ["libxoo", "ab"]),
        (["a.b", "c+"], ["a.b", "c+"], ["axb", "cc"]),
        ([], [], ["", "a"]),
        ([f"*{number}" for number in range(45)], ["a44", "b0"], ["x"]),
    ],
)
def test_patterns_match_as_pacman_s_do(given: list[str], matches: list[str], misses: list[str]) -> None:
    matcher = patterns.Matcher(given)
    for _ in range(2):  # the second time from memory
        assert all(matcher.matches(name) for name in matches)
        assert not any(matcher.matches(name) for name in misses)


def test_equal_pairs_of_states_are_compared_once(django_assert_num_queries: Any) -> None:
    pool = factories.pool()
    endpoint = factories.reporting_endpoint(pool=pool, state=factories.state("app 1-1"))
    factories.target(pool, "app 2-1")
    assert status.by_packages([endpoint])[endpoint.pk] == EndpointStatus.BEHIND
    with django_assert_num_queries(1):  # the pool
        assert status.by_packages([endpoint])[endpoint.pk] == EndpointStatus.BEHIND
    endpoint.holds = ["app"]
    assert status.by_packages([endpoint])[endpoint.pk] == EndpointStatus.IN_SYNC


def test_recent_keeps_what_is_used_and_stays_small() -> None:
    recent: BoundedCache[int, int] = BoundedCache(100)
    for number in range(10_000):
        recent[number] = number
        assert recent.among([0, number]) == {0: 0, number: number}
    assert len(recent.among(range(10_000))) <= 100
    recent.clear()
    assert recent.among([0]) == {}


def test_interning_of_many_packages_that_partly_exist() -> None:
    names = [(f"p{number}", f"{number % 7}-1", "any") for number in range(3000)]
    first = states.intern(names[:2000])
    second = states.intern(sorted(names, key=lambda key: hash_of(key[0])))
    assert len(second) == 3000 == PackageVersion.objects.count()
    assert {key: second[key] for key in first} == first
    assert states.intern([]) == {}


def test_names_that_look_like_json_are_interned_as_they_are() -> None:
    keys = [(name, version, "any") for name in ("1", "null", "true", 'a"b', "ü") for version in ("1-1", "1e5", "[]")]
    assert states.intern(keys) == states.intern(keys)
    assert PackageVersion.objects.count() == len(keys)
