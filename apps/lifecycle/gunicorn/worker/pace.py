"""How fast a body or an answer must move, and by when. It must not know about sockets or which one it times.

Reason: gunicorn has no minimum rate and no time limit for a body or an answer. Remove with transfers.py.
"""

import time

from django.conf import settings

GRACE = 20.0  # seconds before the average counts: a line may stall once, and a short transfer has no average
SETTLED = 5.0  # seconds after which the rate of a transfer can be compared


class Pace:
    """One transfer: `moved` bytes since `started`. Whoever moves the bytes calls `move`."""

    __slots__ = ("last", "moved", "started", "total")

    def __init__(self, total: float) -> None:
        """`total`: seconds that it may take in all; 0 for no limit."""
        self.started = self.last = time.monotonic()
        self.total = total or float("inf")
        self.moved = 0

    def move(self, size: int) -> None:
        """`size` more bytes went through."""
        self.moved += size
        self.last = time.monotonic()

    def ends(self) -> float:
        """The monotonic time at which it is cut off unless more bytes go through before then."""
        silence = settings.REQUEST_READ_TIMEOUT or float("inf")
        ends = min(self.started + self.total, self.last + silence)
        if settings.TRANSFER_MIN_RATE:
            grace = min(GRACE, silence)
            ends = min(ends, self.started + grace + self.moved / settings.TRANSFER_MIN_RATE)
        return ends

    def rank(self) -> tuple[bool, float]:
        """(Whether it has just begun, bytes per second): the transfer with the lowest rank gives way."""
        age = time.monotonic() - self.started
        return age < SETTLED, self.moved / (age + 1)
