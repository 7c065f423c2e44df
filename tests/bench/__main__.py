"""`make bench`: the limits of the probes, the shutdown and the dbpool, compared with plain peers, in one run.

The peers are started here, under plain gunicorn: a bare WSGI function, a Django view, django-health-check's own view,
and a Django project with Django's own psycopg pool. Results: two tables, and bench-results.json. About eight minutes;
`make bench ONLY="throughput frozen"` runs only those parts. A busy machine spoils the figures: the load average is
printed and kept with them.
"""

import argparse
import dataclasses
import json
import os
import platform
from pathlib import Path

from tests.bench import checkins, faults, packages, rolling, throughput
from tests.bench.row import Row
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


def load_average() -> float:
    return round(os.getloadavg()[0], 1)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("only", nargs="*", metavar="PART", help=f"throughput, {', '.join(PARTS)}; default: all")
    only = parser.parse_args().only or ["throughput", *PARTS]
    if unknown := set(only) - {"throughput", *PARTS}:
        parser.error(f"there is no part {', '.join(sorted(unknown))}: choose from throughput, {', '.join(PARTS)}")
    isolate()
    preloaded.afresh = True
    about = {"python": platform.python_version(), "machine": platform.machine(), "processors": os.cpu_count()}
    results: dict[str, object] = {"about": {**about, "load_average_before": load_average()}}
    if "throughput" in only:
        figures = throughput.run()
        results["throughput"] = figures
        print(throughput.table(figures), "\n", flush=True)
    rows: list[Row] = []
    for name, part in PARTS.items():
        if name in only:
            rows.append(part())
            print(rows[-1].text(), f"  (load average {load_average()})\n", flush=True)
    results["measures"] = [dataclasses.asdict(row) for row in rows]
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    print(f"written to {RESULTS.name}")


if __name__ == "__main__":
    main()
