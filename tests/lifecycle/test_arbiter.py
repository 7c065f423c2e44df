"""The order in which gunicorn's main loop gets signals that came at once."""

import signal
from queue import SimpleQueue

import pytest
from gunicorn.arbiter import Arbiter

from apps.lifecycle.gunicorn import arbiter


@pytest.mark.parametrize("quick", [signal.SIGQUIT, signal.SIGINT])
@pytest.mark.usefixtures("own_memory")
def test_quick_end_right_after_a_sigterm_comes_first(quick: signal.Signals) -> None:
    """gunicorn's loop ends at the SIGTERM, and forgets the rest."""
    server = Arbiter.__new__(Arbiter)  # without its set-up, which needs an application
    server.SIG_QUEUE = SimpleQueue()
    arbiter.wrap(server)
    for number in (signal.SIGCHLD, signal.SIGTERM, quick):
        server.SIG_QUEUE.put(number)
    assert server.wait_for_signals() == [quick, signal.SIGCHLD, signal.SIGTERM]
