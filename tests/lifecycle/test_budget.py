"""The law of the shares: together exactly the budget, never more than one apart, the lowest slots first."""

from hypothesis import given
from hypothesis import strategies as st

from apps.lifecycle.dbpool.budget import share


@given(total=st.integers(0, 500), workers=st.integers(1, 64))
def test_shares_sum_up_to_the_budget_and_differ_by_one_at_most(total: int, workers: int) -> None:
    shares = [share(total, workers, slot) for slot in range(workers)]
    assert sum(shares) == total
    assert max(shares) - min(shares) <= 1
    assert shares == sorted(shares, reverse=True)


@given(least=st.integers(0, 100), more=st.integers(0, 100), workers=st.integers(1, 64), slot=st.integers(0, 63))
def test_share_of_the_minimum_is_never_above_the_share_of_the_maximum(
    least: int, more: int, workers: int, slot: int
) -> None:
    assert share(least, workers, slot) <= share(least + more, workers, slot)


def test_share_of_seven_over_three_workers() -> None:
    assert [share(7, 3, slot) for slot in range(3)] == [3, 2, 2]
