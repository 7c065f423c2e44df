"""How fast a body or an answer has to go, and until when. It must not know sockets, nor which of the two it times."""

import time

from django.conf import settings

GRACE = 20.0  # seconds before the average counts: a line may stall once, and a short transfer has no average

SETTLED = 5.0  # seconds after which a transfer has a rate to be compared by


class Pace:
    """One transfer: `moved` bytes since `started`, both counted by whoever moves them."""

    __slots__ = ("last", "moved", "started", "total")

    def __init__(self, total: float) -> None:
        """`total`: seconds that it may take in all; 0: no limit."""
        self.started = self.last = time.monotonic()
        self.total = total or float("inf")
        self.moved = 0

    def move(self, size: int) -> None:
        """`size` more bytes went through."""
        self.moved += size
        self.last = time.monotonic()

    def ends(self) -> float:
        """The monotonic time at which it is cut off unless more bytes go through before."""
        silence = settings.REQUEST_READ_TIMEOUT or float("inf")
        ends = min(self.started + self.total, self.last + silence)
        if settings.TRANSFER_MIN_RATE:
            grace = min(GRACE, silence)
            ends = min(ends, self.started + grace + self.moved / settings.TRANSFER_MIN_RATE)
        return ends

    def standing(self) -> tuple[bool, float]:
        """What it is compared by when one has to give way: whether it has just begun, and its bytes per second."""
        age = time.monotonic() - self.started
        return age < SETTLED, self.moved / (age + 1)
