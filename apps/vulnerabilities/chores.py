"""The chores of known vulnerabilities. They do nothing while the feature is off. It must not know how loops run."""

from apps.lifecycle.work.chores import register_chore

from . import comparison, fetching

FETCH_SECONDS = 60
COMPARE_SECONDS = 15


def register() -> None:
    """Hand the chores to the lifecycle; nothing starts before the server does.

    Fetching claims its turn by a row: a lock of the database would keep a transaction open while the tracker answers.
    """
    register_chore("vulnerability_list", FETCH_SECONDS, fetching.fetch_if_due, exclusive=False)
    register_chore(comparison.CHORE, COMPARE_SECONDS, comparison.compare)
