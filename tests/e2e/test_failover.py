"""A real PostgreSQL pair fails over under load: nothing acknowledged is lost, and the service is back."""

import pytest

from tests.e2e.conftest import Start
from tests.support.failover import fail_over
from tests.support.load import get, in_background
from tests.support.replication import Pair, missing, running_pair
from tests.support.wait import until

pytestmark = [pytest.mark.skipif(bool(missing()), reason=missing() or "-"), pytest.mark.timeout(300)]


@pytest.mark.parametrize(("fault", "route"), [("kill", "hosts"), ("fence", "proxy"), ("freeze", "hosts")])
def test_failover_under_load_nothing_lost_or_doubled_and_back_in_time(fault: str, route: str) -> None:
    found = fail_over(fault, route, before=2, after=3, machines=4)
    assert (found.lost, found.doubled, found.problems, found.tracebacks) == ([], [], [], 0), found.text()
    assert found.acknowledged and found.after, found.text()
    for seconds in (found.ready_again, found.written_again):
        assert isinstance(seconds, float) and seconds <= 15, found.text()


def test_failover_sessions_kept_on_the_fenced_primary_never_get_ready_again() -> None:
    """The negative twin: the dbpool keeps read-only sessions."""
    found = fail_over("fence", "proxy", before=2, after=0, machines=4, limit=10, PLAYGROUND_WITHOUT_DISCARDING="1")
    assert found.ready_again == "never" and not found.lost, found.text()


def test_failover_connections_to_a_frozen_primary_not_cut_stay_stuck() -> None:
    """The negative twin: whoever was in the middle of a statement waits for the frozen primary."""
    found = fail_over("freeze", "proxy", before=2, after=0, machines=4, limit=14, PLAYGROUND_WITHOUT_CUTTING="1")
    assert found.slowest >= 14, found.text()  # the clients' own limit


@pytest.mark.parametrize("protected", [True, False])
def test_commit_whose_wait_for_the_standby_is_cancelled_is_not_acknowledged(playground: Start, protected: bool) -> None:
    """PostgreSQL says that it is done, with a warning; the negative twin answers 200."""
    env = {} if protected else {"PLAYGROUND_WITHOUT_NOTICING_CANCELLED_COMMITS": "1"}
    with running_pair() as pair, playground(pair.primary.url(), **env) as server:
        until(lambda: get(server.port, "/health/ready")[0] == 200, 60)
        pair.standby.freeze()
        asked = in_background(server.port, "/write/unreplicated")
        until(lambda: cancel_commits(pair), 60)
        asked.join(30)
        assert asked.status == (503 if protected else 200)


def cancel_commits(pair: Pair) -> bool:
    """Cancel what waits for the standby; whether a request's COMMIT was among it."""
    with pair.primary.connect() as connection:
        found = connection.execute(
            "SELECT query, pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        ).fetchall()
    return any("COMMIT" in str(row[0]) for row in found)
