"""`python -m tests.bench.failover --rounds 20`: failovers of a real PostgreSQL pair under load, one line for each.

Every combination of a fault (kill, fence, freeze) and a route (hosts: several hosts in DATABASE_URL; proxy: one
address that moves) in turn. Exit 1 when an acknowledged operation was lost, when one ran twice, or when the service
took longer than 15 s.
"""

import argparse
import itertools
import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

from tests.support.failover import ROUTES, Round, fail_over
from tests.support.replication import FAULTS, missing

RESULTS = Path(__file__).resolve().parents[2] / "failover-results.json"
LIMIT = 15.0  # seconds from the promotion until the service is ready and writes


def is_good(result: Round) -> bool:
    """Whether nothing was lost, nothing ran twice, and the service was back in time."""
    times = (result.ready_again, result.written_again)
    back = all(isinstance(seconds, float | int) and seconds <= LIMIT for seconds in times)
    return back and not (result.lost or result.doubled or result.problems or result.tracebacks)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.failover", description=__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--only", default="", help="a fault or a route, for example freeze")
    arguments = parser.parse_args()
    if missing():
        parser.error(missing())
    combinations = [pair for pair in itertools.product(FAULTS, ROUTES) if arguments.only in ("", *pair)]
    results = []
    for number, (fault, route) in zip(range(arguments.rounds), itertools.cycle(combinations), strict=False):
        began = time.monotonic()
        result = fail_over(fault, route)
        results.append(result)
        verdict = "good" if is_good(result) else "BAD "
        took = f"({time.monotonic() - began:.0f} s, load average {os.getloadavg()[0]:.1f})"
        print(f"{number + 1:3} {verdict} {result.text()} {took}", flush=True)
    RESULTS.write_text(json.dumps([asdict(result) for result in results], indent=2) + "\n")
    sys.exit(0 if all(is_good(result) for result in results) else 1)


if __name__ == "__main__":
    main()
