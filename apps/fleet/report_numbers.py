"""How high the number of a report may be, and which number its state gets in the history. It must not know reports.

An agent takes milliseconds of its own clock as numbers. Whoever has an endpoint's token could report a number that the
machine never reaches, and all that the machine says later would count as old. So a number that is far ahead of the
database's clock counts as one that is a little ahead. It isn't refused: a machine whose own clock is wrong still
reports.
"""

from datetime import datetime, timedelta

from django.utils import timezone

from . import clock
from .models import Endpoint

AHEAD = timedelta(minutes=10)
"""How far ahead of the database's clock a number may be."""


def bounded(number: int) -> int:
    """The number, or the highest that is accepted now. No query for one that is not ahead.

    The database's clock decides; the clock of the process only says whether to ask it.
    """
    if number <= _milliseconds(timezone.now() + AHEAD / 2):
        return number
    return min(number, _milliseconds(clock.now() + AHEAD))


def in_history(endpoint: Endpoint, number: int) -> int:
    """The number of a new entry of the endpoint's history: above all that are there. One query.

    With a new token an endpoint's reports begin at any number again, and its history goes on.
    """
    newest = endpoint.history.order_by("-seq").values_list("seq", flat=True).first()
    return max(number, (newest or 0) + 1)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
