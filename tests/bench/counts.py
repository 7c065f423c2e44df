"""The bench's counts: the first page, the API's `/fleet` and the metrics, beside one plain count by pool.

What the fleet's chore has compared counts as it does in a running server. What happens without that, right after a new
target, is measured in a process of its own, beside the same plain count.
"""

import json
import subprocess
import sys

from tests.bench.served_fleet import ServedFleet, served
from tests.bench.sized import WHOLE, Extent, SizedRow
from tests.support.server import ROOT, environment

CODE = "import sys; from tests.bench.counts import in_this_process; in_this_process(int(sys.argv[1]))"


def counts(extent: Extent = WHOLE) -> SizedRow:
    row = SizedRow("Counts, beside one plain count by pool", "the first page < 0.2 s; a scrape needs no SQL")
    for size in extent.sizes:
        with served(extent, size) as fleet:
            row.add("first page", size, fleet.asked("/", page=True))
            row.add("API /fleet", size, fleet.asked("/fleet"))
            row.add("metrics, a scrape", size, fleet.asked("/metrics", page=True))
            for what, seconds in _in_a_process(fleet).items():
                row.add(what, size, (seconds[0], seconds[1]))
    return row


def _in_a_process(fleet: ServedFleet) -> dict[str, list[float]]:
    """Without HTTP: [seconds of ours, seconds of the plain count]."""
    env = environment(fleet.url, DJANGO_SETTINGS_MODULE="pacsync.settings", POLL_SECONDS=3600)
    command = [sys.executable, "-c", CODE, str(fleet.extent.rounds)]
    done = subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True, text=True)
    found: dict[str, list[float]] = json.loads(done.stdout)
    return found


def in_this_process(rounds: int) -> None:
    """Print the figures for the database of DATABASE_URL."""
    import django

    django.setup()
    from django.db import connection

    from apps.fleet import fleet_statuses, status
    from apps.fleet.fleet_survey import Survey
    from apps.fleet.models import StatusCase
    from tests.bench.paired import in_turns, paired

    def plain() -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT p.name, e.state_id = r.state_id, count(*) FROM fleet_endpoint e"
                " LEFT JOIN fleet_pool p ON p.id = e.pool_id LEFT JOIN fleet_targetrevision r ON r.id = p.target_id"
                " GROUP BY 1, 2"
            )
            cursor.fetchall()

    def forget() -> None:
        status.forget()
        StatusCase.objects.all().delete()

    few = max(1, rounds // 5)
    while fleet_statuses.refresh():
        continue
    plain()
    found = {
        "metrics, the counts": paired(fleet_statuses.counts, plain, rounds),
        "the same, nothing compared": in_turns(fleet_statuses.counts, plain, few, each=forget),
        "first page's, nothing compared": in_turns(lambda: Survey().counts, plain, few, each=forget),
    }
    print(json.dumps(found))
