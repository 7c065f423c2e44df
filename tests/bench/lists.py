"""The bench's lists: the API and the pages, first and late, filtered and sorted, beside views with plain SQL."""

import contextlib
import json
from urllib.parse import urlencode

from tests.bench import fleet_of
from tests.bench.paired import Client
from tests.bench.served_fleet import ServedFleet, served
from tests.bench.sized import WHOLE, Extent, SizedRow

QUERIES = {
    "first": {},
    "of a pool": {"pool": "pool03"},
    "name has 00": {"name": "00"},
    "status behind": {"status": "behind"},
    "has a package": {"package": fleet_of.RARE},
    "last result failed": {"last_result": "failed"},
    "by last seen": {"sort": "-last_seen"},
}
PER_PAGE = 50


def lists(extent: Extent = WHOLE) -> SizedRow:
    """One page of 50, everything remembered that a list remembers."""
    row = SizedRow("Lists, beside plain SQL in a Django view", "a page of 50 endpoints < 50 ms")
    for size in extent.sizes:
        with served(extent, size, index=True) as fleet:
            for what, query in QUERIES.items():
                path = f"/endpoints?{urlencode(query)}"
                check_same(fleet, path)
                row.add(f"API {what}", size, fleet.asked(path))
                row.add(f"page {what}", size, fleet.asked(path + ("&" if query else "") + "page=1", page=True))
            cursor, after = _late(fleet)
            row.add("API late", size, fleet.asked(f"/endpoints?cursor={cursor}", f"/endpoints?after={after}"))
            row.add("page late", size, fleet.asked(f"/endpoints?page={size * 9 // 10 // PER_PAGE + 1}", page=True))
            row.add("API operations", size, fleet.asked("/operations"))
    return row


def _late(fleet: ServedFleet) -> tuple[str, str]:
    """The cursor after nine tenths of the endpoints, or the last one that there is, and the name that it follows."""
    left, cursor, after = len(fleet.made["agents"]) * 9 // 10, "", ""
    while left > 0:
        limit = min(left, 200)
        page = fleet.call("GET", f"/endpoints?limit={limit}" + (f"&cursor={cursor}" if cursor else ""))
        cursor, after, left = page["next"], page["items"][-1]["name"], left - limit
    return cursor, after


def check_same(fleet: ServedFleet, path: str) -> None:
    """AssertionError unless both list the same endpoints: otherwise their times couldn't be compared."""
    ours = [one["name"] for one in fleet.call("GET", path)["items"]]
    least = [one[1] for one in json.loads(_peer(fleet, path))["items"]]
    assert ours == least and ours, (path, ours, least)


def _peer(fleet: ServedFleet, path: str) -> bytes:
    with contextlib.closing(Client(fleet.peer.port, fleet.reader)) as client:
        return client.get(f"/api/v1{path}")
