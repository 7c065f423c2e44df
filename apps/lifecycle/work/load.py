"""How busy this worker is. It must not know what follows from it."""

from django.conf import settings

from apps.lifecycle.shared_memory.memory import mine


def share() -> float:
    """The requests that this worker has in progress or in its queue, as a part of those that it serves at once.

    At least 0, above 1 if some wait. Outside of a server 0.
    """
    return float(mine().in_flight / settings.WEB_REQUEST_LIMIT)
