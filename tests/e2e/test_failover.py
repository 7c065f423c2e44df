"""A real PostgreSQL pair fails over under load: nothing acknowledged is lost, and the service is back."""

import pytest

from tests.support.failover import fail_over
from tests.support.replication import missing

pytestmark = [pytest.mark.skipif(bool(missing()), reason=missing() or "-"), pytest.mark.timeout(300)]


@pytest.mark.parametrize(("fault", "route"), [("kill", "hosts"), ("fence", "proxy"), ("freeze", "hosts")])
def test_failover_under_load_nothing_lost_or_doubled_and_back_in_time(fault: str, route: str) -> None:
    found = fail_over(fault, route, before=2, after=3, machines=4)
    assert (found.lost, found.doubled, found.problems, found.tracebacks) == ([], [], [], 0), found.text()
    assert found.acknowledged and found.after, found.text()
    for seconds in (found.ready_again, found.written_again):
        assert isinstance(seconds, float) and seconds <= 15, found.text()


def test_failover_sessions_kept_on_the_fenced_primary_never_write_again() -> None:
    """The negative twin: the dbpool keeps read-only sessions."""
    found = fail_over("fence", "proxy", before=2, after=0, machines=4, limit=10, PLAYGROUND_WITHOUT_DISCARDING="1")
    assert found.written_again == "never" and not found.lost, found.text()


def test_failover_connections_to_a_frozen_primary_not_cut_stay_stuck() -> None:
    """The negative twin: whoever was in the middle of a statement waits for the frozen primary."""
    found = fail_over("freeze", "proxy", before=2, after=0, machines=4, limit=14, PLAYGROUND_WITHOUT_CUTTING="1")
    assert found.slowest >= 14, found.text()  # the clients' own limit
