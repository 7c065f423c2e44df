"""Known vulnerabilities: made-up advisories about packages of the demo (all.json). It must not know machines.

The names are in nobody's use, so the tracker's pages that they lead to don't exist.
"""

import shutil
from pathlib import Path

from apps.vulnerabilities import comparison, fetching

ADVISORIES = Path(__file__).with_name("all.json")
COMPARE_SECONDS = 60.0


def take(path: str) -> None:
    """Put the list into this file, make it the current one, and compare the fleet with it.

    The list is as old as now. `path` is SECURITY_TRACKER_URL.
    """
    shutil.copyfile(ADVISORIES, path)
    fetching.load_file(path)
    comparison.compare_all(COMPARE_SECONDS)
