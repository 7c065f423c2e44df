"""The bench's questions about one package in the fleet, beside rows of (endpoint, name, version) with an index.

Those rows are the least SQL that answers them. Nobody keeps them up: each report that changes a package would write to
them, and 10,000 endpoints with 1,500 packages have 15 million. tests/bench/packages.py measures PacSync's own index.
"""

from tests.bench.fleet_of import COMMON, RARE
from tests.bench.served_fleet import served
from tests.bench.sized import WHOLE, Extent, SizedRow

QUESTIONS = {
    "versions in the fleet": f"/packages/{COMMON}",
    "older than": f"/packages/{COMMON}/endpoints?older_than=1.4-1",
    "has it": f"/packages/{COMMON}/endpoints",
    "missing": f"/packages/{RARE}/endpoints?missing=true",
    "nobody has it": "/packages/nobody/endpoints",
}


def questions(extent: Extent = WHOLE) -> SizedRow:
    """Through the API, a page of 50."""
    row = SizedRow("Questions about a package, beside rows made for them", "< 0.2 s at 10,000 endpoints")
    for size in extent.sizes:
        with served(extent, size, index=True) as fleet:
            for what, path in QUESTIONS.items():
                row.add(what, size, fleet.asked(path))
    return row
