"""States as rows: exact round trips, few queries, nothing stored twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries

from apps.fleet import states
from apps.fleet.alpm import state as state_text
from apps.fleet.models import PackageVersion, State
from tests import factories
from tests.factories import packages

pytestmark = pytest.mark.django_db


def many(count: int, version: str = "1.0-1") -> list[str]:
    return [f"package{number:04} {version}{' dependency' if number % 3 else ''}" for number in range(count)]


def test_save_and_load_any_reason_and_arch_is_the_same() -> None:
    wanted = packages("b 1:1.0-1 any", "a 1-1 dependency", "x+y 2.0_rc1-1.1 any dependency")
    state, created = states.save(wanted)
    assert created and state.package_count == 3 and state.arch == "x86_64"
    assert state.digest == state_text.digest_of(state_text.to_text(wanted))
    assert states.load(State.objects.get(pk=state.pk)) == sorted(wanted)


def test_save_same_packages_in_another_order_is_the_same_row() -> None:
    state, _ = states.save(packages("a 1-1", "b 1-1"))
    assert states.save(packages("b 1-1", "a 1-1")) == (state, False)
    assert (State.objects.count(), PackageVersion.objects.count()) == (1, 2)


def test_save_shared_packages_are_interned_once() -> None:
    states.save(packages(*many(50)))
    states.save(packages(*many(49), "other 1-1"))
    assert PackageVersion.objects.count() == 51


def test_intern_same_names_and_versions_crosswise_are_kept_apart() -> None:
    ids = states.intern([("a", "1", "any"), ("b", "2", "any"), ("a", "2", "any"), ("b", "2", "x86_64")])
    assert len(set(ids.values())) == 4
    assert states.intern([("b", "1", "any"), ("a", "2", "any")])["a", "2", "any"] == ids["a", "2", "any"]


def test_arch_all_packages_for_any_is_any() -> None:
    assert factories.state("a 1-1 any").arch == "any"


def test_load_1500_packages_takes_few_queries(django_assert_max_num_queries: DjangoAssertNumQueries) -> None:
    state, _ = states.save(packages(*many(1500)))
    with django_assert_max_num_queries(2):
        assert len(states.load(state)) == 1500


def test_save_1500_new_packages_takes_few_queries(django_assert_max_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_max_num_queries(25):  # SQLite takes 999 parameters in one statement
        states.save(packages(*many(1500)))


@given(st.lists(st.integers(0, 2**32 - 1), unique=True, max_size=50))
def test_pack_any_numbers_come_back_sorted(values: list[int]) -> None:
    packed = states.pack(values)
    assert list(states.unpack(packed)) == sorted(values) and len(packed) == 4 * len(values)


def test_pack_is_little_endian_everywhere() -> None:
    assert states.pack([0x0102]) == b"\x02\x01\x00\x00"
