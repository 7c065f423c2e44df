"""`make bench`: probes, shutdown, dbpool and fleet, compared with plain peers, in one run.

The peers are started here, under plain gunicorn: a bare WSGI function, a Django view, django-health-check's own view,
a Django project with Django's own psycopg pool, and views that answer for a fleet with plain SQL. Results: tables, and
bench-results.json. About 25 minutes; `make bench ONLY="throughput frozen"` runs only those parts, and
`make bench ONLY=lists SIZES=100,1000` takes fleets of these sizes. A busy machine spoils the figures: the load average
is printed and kept with them.
"""

import argparse
import dataclasses
import json
import os
import platform
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from tests.bench import (
    analysis,
    checkins,
    counts,
    exact_sync,
    faults,
    fleet_checkins,
    lists,
    packages,
    questions,
    rolling,
    throughput,
    uploads,
)
from tests.bench.row import Row
from tests.bench.sized import WHOLE, Extent
from tests.support import preloaded
from tests.support.isolation import isolate

RESULTS = Path(__file__).resolve().parents[2] / "bench-results.json"
PARTS = {
    "sql": faults.statements_per_probe,
    "frozen": faults.frozen,
    "restarted": faults.restarted,
    "half-sent": faults.half_sent,
    "budget": faults.budget,
    "locked": faults.locked,
    "killed": faults.killed,
    "growth": faults.growth,
    "packages": packages.packages,
    "checkins": checkins.checkins,
    "rolling": rolling.rolling,
    "rolling-restarted": rolling.rolling_while_postgresql_restarts,
}
# Those of the fleet, which are measured at several sizes.
FLEET: dict[str, Callable[[Extent], Row]] = {
    "lists": lists.lists,
    "counts": counts.counts,
    "uploads": uploads.uploads,
    "fleet-checkins": fleet_checkins.fleet_checkins,
    "questions": questions.questions,
    "analysis": analysis.analysis,
    "exact-sync": exact_sync.exact_sync,
}
ALL = ("throughput", *PARTS, *FLEET)


def load_average() -> float:
    return round(os.getloadavg()[0], 1)


def sizes(text: str) -> tuple[int, ...]:
    """Numbers of endpoints, ascending. ValueError for anything else."""
    return tuple(sorted(map(int, text.split(","))))


def save(results: dict[str, object], rows: Sequence[Row]) -> None:
    measures = [dataclasses.asdict(row) for row in rows]
    RESULTS.write_text(json.dumps({**results, "measures": measures}, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("only", nargs="*", metavar="PART", help=f"{', '.join(ALL)}; default: all")
    parser.add_argument("--sizes", type=sizes, default=WHOLE.sizes, help="endpoints of the fleets: 100,1000,10000")
    options = parser.parse_args()
    only = options.only or ALL
    if unknown := set(only) - set(ALL):
        parser.error(f"there is no part {', '.join(sorted(unknown))}: choose from {', '.join(ALL)}")
    isolate()
    preloaded.afresh = True
    about = {"python": platform.python_version(), "machine": platform.machine(), "processors": os.cpu_count()}
    results: dict[str, object] = {"about": {**about, "load_average_before": load_average()}}
    if "throughput" in only:
        figures = throughput.run()
        results["throughput"] = figures
        print(throughput.table(figures), "\n", flush=True)
    extent = dataclasses.replace(WHOLE, sizes=options.sizes)
    rows: list[Row] = []
    for name, part in (PARTS | {name: partial(part, extent) for name, part in FLEET.items()}).items():
        if name in only:
            rows.append(part())
            print(rows[-1].text(), f"  (load average {load_average()})\n", flush=True)
            save(results, rows)  # what there is, in case the next part fails
    save(results, rows)
    print(f"written to {RESULTS.name}")


if __name__ == "__main__":
    main()
