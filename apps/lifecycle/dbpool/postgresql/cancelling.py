"""Cancels the statements of several connections at the same time. It must not know why or whose they are."""

import logging
import threading
import time
from collections.abc import Sequence

from apps.lifecycle.dbpool.postgresql.sessions import Conn

logger = logging.getLogger(__name__)


def cancel(connections: Sequence[Conn], seconds: float) -> None:
    """Ask the server to cancel each one's statement; returns after at most `seconds`."""
    threads = [threading.Thread(target=_cancel, args=(one, seconds), daemon=True) for one in connections]
    for thread in threads:
        thread.start()
    end = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))


def _cancel(connection: Conn, seconds: float) -> None:
    try:
        connection.cancel_safe(timeout=seconds)
    except Exception as error:
        logger.warning("couldn't cancel a query that still ran: %s", type(error).__name__)
