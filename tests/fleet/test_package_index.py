"""The index of packages: its answers are those of a full scan, whatever came, went, or is written meanwhile."""

import random
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from typing import Any

import pytest
from django.conf import settings
from django.db import connections
from django.db.models.functions import Now

from apps.fleet import package_index, package_questions, retention, states
from apps.fleet.alpm.version import vercmp
from apps.fleet.exceptions import Conflict
from apps.fleet.models import Endpoint, IndexSegment, PackageVersion, Pool, Posting, State
from apps.fleet.package_questions import Question
from tests import factories
from tests.support.race import race

NAMES = [f"package{number}" for number in range(12)]
MINOR = 5


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of eight states, of which three wait: little churn then does what a large fleet's does."""
    monkeypatch.setattr(package_index, "SEGMENT", 8)
    monkeypatch.setattr(package_index, "WAITING", 3)


def scan(name: str) -> dict[str, str | None]:
    """The version that each endpoint has, read from the packages of its state."""
    found = Endpoint.objects.exclude(state=None).values_list("name", "state_id")
    return {endpoint: content(digest).get(name) for endpoint, digest in found}


@cache
def content(digest: str) -> dict[str, str]:
    """The versions in a state by name: of a digest for good."""
    return {one.name: one.version for one in states.load(State.objects.get(pk=digest))}


def check(name: str) -> None:
    """Both questions about the package have the answers of a full scan."""
    truth = scan(name)
    found = package_questions.in_fleet(name)
    have = Counter(version for version in truth.values() if version is not None)
    assert {one.version: one.endpoints for one in found.versions} == have
    assert (found.endpoints, found.missing) == (sum(have.values()), len(truth) - sum(have.values()))
    for bound in ("1-1", "3-1", "9-1"):
        older = {one.name: one.version for one in package_questions.endpoints(name, Question(older_than=bound))}
        assert older == {who: one for who, one in truth.items() if one is not None and vercmp(one, bound) < 0}
    missing = {one.name for one in package_questions.endpoints(name, Question(missing=True))}
    assert missing == {who for who, version in truth.items() if version is None}


def made_up(chance: random.Random) -> State:
    """A state with some of the packages, always `package0`, in random versions and reasons."""
    names = [NAMES[0], *chance.sample(NAMES[1:], chance.randrange(len(NAMES)))]
    reasons = ["dependency", "explicit"]
    return factories.state(*(f"{name} {chance.randrange(MINOR)}-1 {chance.choice(reasons)}" for name in names))


def crowd(chance: random.Random, endpoints: int, count: int) -> tuple[list[int], list[str]]:
    """Keys of endpoints, each in one of `count` random states, of which the digests are given."""
    pools = [factories.pool(), factories.pool(), None]
    digests = [made_up(chance).pk for _ in range(count)]
    Endpoint.objects.bulk_create(
        Endpoint(name=f"box{number}", arch="x86_64", pool=chance.choice(pools), state_id=chance.choice(digests))
        for number in range(endpoints)
    )
    factories.endpoint("silent")
    return list(Endpoint.objects.exclude(state=None).values_list("pk", flat=True)), digests


@pytest.mark.django_db
def test_answers_after_10000_random_changes_are_those_of_a_full_scan(small: None) -> None:
    chance = random.Random(7)
    keys, digests = crowd(chance, 60, 100)
    written = 0
    for step in range(500):
        moved = [Endpoint(pk=key, state_id=chance.choice(digests)) for key in chance.choices(keys, k=20)]
        Endpoint.objects.bulk_update({one.pk: one for one in moved}.values(), ["state"])
        if step % 2:
            digests[chance.randrange(len(digests))] = made_up(chance).pk
        if chance.random() < 0.4:
            written += package_index.refresh()
        if step % 100 == 99:
            State.objects.update(created=Now() - timedelta(days=2))
            retention.clean()
            digests = list(State.objects.values_list("pk", flat=True))
            for name in chance.sample(NAMES, 2):
                check(name)
    for name in [*NAMES, "nobody"]:
        check(name)
    assert written > 1000 and IndexSegment.objects.count() <= 20
    package_index.rebuild()
    assert not State.objects.filter(segment=None, pk__in=Endpoint.objects.values("state")).exists()
    for name in [*NAMES, "nobody"]:
        check(name)


@pytest.mark.django_db(transaction=True)
def test_answers_while_states_come_and_the_index_is_rebuilt_miss_nobody(small: None) -> None:
    """Every state has some version of `package0`, so no moment exists at which an endpoint is without it."""
    chance = random.Random(3)
    keys, digests = crowd(chance, 24, 40)
    over = threading.Event()

    def act(number: int) -> Any:
        own = random.Random(number)
        if number == 0:
            try:
                return [package_index.rebuild() for _ in range(4)]
            finally:
                over.set()
        if number == 1:
            while not over.wait(0.02):
                package_index.alone(package_index.refresh)
            return None
        asked = 0
        while not over.wait(0.005):
            if number == 2:
                Endpoint.objects.filter(pk=own.choice(keys)).update(state=own.choice(digests))
                continue
            found = package_questions.in_fleet(NAMES[0])
            assert (found.endpoints, found.missing) == (len(keys), 0)
            assert len(package_questions.endpoints(NAMES[0], Question())) == len(keys)
            asked += 1
        return asked

    results = race(5, act)
    assert not [one for one in results if isinstance(one, Exception)], results
    assert min(results[0]) > 0 and results[3] > 0 and results[4] > 0
    for name in NAMES:
        check(name)


@pytest.mark.django_db
def test_places_and_postings_read_one_after_the_other_would_miss_endpoints(small: None) -> None:
    """What one statement protects from: a segment is rebuilt between two."""
    crowd(random.Random(5), 20, 20)
    package_index.rebuild()
    places = dict(State.objects.filter(segment__isnull=False).values_list("pk", "segment"))
    package_index.rebuild()
    left = set(Posting.objects.values_list("segment", flat=True))
    assert places and not set(places.values()) & left
    check(NAMES[0])


@pytest.mark.django_db
def test_state_that_was_removed_and_comes_back_is_indexed_again(small: None) -> None:
    """Its package versions have other keys then."""
    box = factories.reporting_endpoint("box", state=factories.state("app 1-1"))
    package_index.refresh(least=1)
    old = set(PackageVersion.objects.values_list("pk", flat=True))
    factories.report(box, factories.state("other 1-1"))
    box.history.filter(seq=1).delete()
    State.objects.update(created=Now() - timedelta(days=2))
    assert retention.clean()["states"] == 1
    states.intern([("between", "1-1", "any")])
    factories.report(box, factories.state("app 1-1"))
    assert not set(PackageVersion.objects.filter(name="app").values_list("pk", flat=True)) & old
    check("app")
    package_index.rebuild()
    check("app")


@pytest.mark.django_db
def test_refresh_few_states_wait_and_many_get_segments(small: None) -> None:
    for number in range(2):
        factories.reporting_endpoint(state=factories.state(f"app {number}-1"))
    assert package_index.refresh() == 0 and not Posting.objects.exists()
    factories.reporting_endpoint(state=factories.state("app 9-1"))
    assert package_index.refresh() == 3 and IndexSegment.objects.get().states == 3
    check("app")
    assert package_index.refresh() == 0


@pytest.mark.django_db
def test_refresh_one_run_is_bounded(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_index, "AT_ONCE", 1)
    for number in range(20):
        factories.reporting_endpoint(state=factories.state(f"app {number}-1"))
    assert [package_index.refresh() for _ in range(4)] == [8, 8, 4, 0]
    check("app")


@pytest.mark.django_db
def test_refresh_states_that_nobody_is_in_leave_and_sparse_segments_are_joined(small: None) -> None:
    boxes = [factories.reporting_endpoint(state=factories.state(f"app {number}-1")) for number in range(16)]
    package_index.refresh()
    assert IndexSegment.objects.count() == 2
    for box in boxes[3:8] + boxes[11:]:
        Endpoint.objects.filter(pk=box.pk).update(state=boxes[0].state_id)
    assert package_index.refresh() == 6 and IndexSegment.objects.count() == 1
    check("app")
    Endpoint.objects.update(state=None)
    package_index.refresh()
    assert not IndexSegment.objects.exists() and not Posting.objects.exists()
    assert not State.objects.filter(segment__isnull=False).exists()
    check("app")


@pytest.fixture
def damaged(small: None, db: None) -> Iterator[None]:
    """An index that says that nobody has any `app`."""
    for number in range(4):
        factories.reporting_endpoint(state=factories.state(f"app {number}-1"))
    package_index.refresh()
    Posting.objects.all().delete()
    assert package_questions.in_fleet("app").endpoints == 0  # so answers come from the index, not from a scan
    yield


def test_rebuild_repairs_a_damaged_index(damaged: None) -> None:
    assert package_index.rebuild() == 4
    check("app")


def test_rebuild_forgets_states_and_postings_of_no_segment(damaged: None) -> None:
    IndexSegment.objects.all().delete()
    Posting.objects.create(version=1, segment=99, bits=b"\0" * 32)
    assert package_index.rebuild() == 4
    assert not Posting.objects.filter(segment=99).exists()
    check("app")


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(settings.DATABASE_TYPE == "sqlite", reason="SQLite's writers are alone anyway")
def test_rebuild_another_process_has_the_index_it_is_given_up_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_index, "PATIENCE", 0.3)
    started, over = threading.Event(), threading.Event()

    def hold() -> None:
        def step() -> int:
            started.set()
            over.wait(30)
            return 0

        package_index.alone(step)
        connections.close_all()

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert started.wait(10)
        with pytest.raises(Conflict, match="Try again later"):
            package_index.rebuild()
    finally:
        over.set()
        holder.join(30)


@pytest.mark.django_db
def test_questions_take_the_same_few_statements_for_any_fleet(small: None, django_assert_max_num_queries: Any) -> None:
    for endpoints in (3, 30):
        Endpoint.objects.all().delete()
        Pool.objects.all().delete()
        crowd(random.Random(endpoints), endpoints, endpoints)
        package_index.rebuild()
        with django_assert_max_num_queries(4):
            package_questions.in_fleet(NAMES[0])
        with django_assert_max_num_queries(3):
            package_questions.endpoints(NAMES[0], Question(older_than="3-1"))
