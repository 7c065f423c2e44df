"""A COMMIT that takes too long: logged when that begins, not for each attempt of the heartbeat."""

from typing import Any

import pytest

from apps.lifecycle.dbpool import write_state
from apps.lifecycle.dbpool.postgresql import commits
from apps.lifecycle.shared_memory.memory import Memory


class Waiting:
    """A connection whose COMMIT is under way."""

    def cancel_safe(self, timeout: float) -> None:
        """Accepted."""


def test_commit_given_up_is_logged_until_it_is_known(own_memory: Memory, caplog: pytest.LogCaptureFixture) -> None:
    connection: Any = Waiting()
    commits._check(commits.Commit(connection, limit=3, started=0), 3.5)
    write_state.failed(write_state.COMMIT_TIMED_OUT)
    commits._check(commits.Commit(connection, limit=3, started=0), 3.5)
    write_state.succeeded(0)
    commits._check(commits.Commit(connection, limit=3, started=0), 3.5)
    given_up = [message for message in caplog.messages if "giving it up" in message]
    assert given_up == ["a COMMIT has taken 3.5 s: giving it up"] * 2
