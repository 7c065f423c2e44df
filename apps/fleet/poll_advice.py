"""When an agent is asked to come again: later if the server is busy, each at another time. It must not know HTTP.

A fleet that starts at once, after a power cut, comes back at once a minute later, and so on. The advice spreads it. It
is never more than LONGEST times the poll interval, which is less than the three after which an endpoint is offline, and
the agent takes no more than a day from anybody.
"""

import random

from django.conf import settings

from apps.lifecycle.work import load

BUSY = 0.5  # of the requests that a worker serves at once; below this nothing is changed
LONGEST = 2.0


def seconds() -> int:
    """The poll interval for one answer: POLL_SECONDS, or a random time up to LONGEST times as long."""
    busy = min(1.0, max(0.0, load.share() - BUSY) / (1 - BUSY))
    return round(settings.POLL_SECONDS * random.uniform(1, 1 + (LONGEST - 1) * busy))  # noqa: S311 - spreads a fleet
