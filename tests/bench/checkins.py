"""The bench's check-ins that change nothing, on PostgreSQL, beside the least that a Django view can do for one.

The least view finds a token's row, updates it and answers, with the middleware of Django's startproject. Both run under
the same number of workers, in turns; wrk sends the reports.
"""

import json
import tempfile
from pathlib import Path

from tests.bench import faults, load
from tests.bench.row import Row
from tests.bench.servers import running_peer
from tests.simulate import fleet
from tests.support.load import get
from tests.support.server import running_server
from tests.support.wait import until

SIZES, STATES = (10, 10_000), 600
ROUNDS, SECONDS, WORKERS = 3, 3, (1, 2)
# Each request is the next report of the next endpoint: the file has one body without its number in each line.
SCRIPT = """
local reports, number, seq = {}, 0, SEQ
for line in io.lines("FILE") do reports[#reports + 1] = line end
request = function()
  number = number % #reports + 1
  if number == 1 then seq = seq + 1 end
  local token, body = reports[number]:match("^(%S+) (.*)$")
  local headers = {["Authorization"] = "Bearer " .. token, ["Content-Type"] = "application/json"}
  return wrk.format("POST", "/api/v1/checkin", headers, (body:gsub('"seq": 0', '"seq": ' .. seq)))
end
"""


def checkins() -> Row:
    """Check-ins a second of an endpoint in its target, and of one that isn't, as a part of the least view's."""
    row = Row("Check-ins that change nothing, beside the least Django view", "0.6; 0.5 outside of the target")
    row.peer = {}
    for size in SIZES:
        for inside in (True, False):
            for workers in WORKERS:
                _measure(row, size, inside, workers)
    return row


def _measure(row: Row, size: int, inside: bool, workers: int) -> None:
    name = f"{size}_{'in_target' if inside else 'behind'}_{workers}w"
    with faults.database(shared_buffers="512MB") as (_, url), tempfile.TemporaryDirectory() as folder:
        reports, about = Path(folder) / "reports", Path(folder) / "fleet"
        fleet.make(url, about, endpoints=size, states=STATES, inside=inside)
        made = json.loads(about.read_text())
        lines = [f"{one['token']} {json.dumps(fleet.report(one, made['repositories'], 0))}" for one in made["agents"]]
        reports.write_text("\n".join(lines) + "\n")
        settings = {"WEB_CONCURRENCY": workers, "WEB_THREADS": 8, "ENVIRONMENT": "production", "LOG_LEVEL": "ERROR"}
        with running_server(url, **settings) as server, running_peer(url, "least_checkin", workers=workers) as peer:
            until(lambda: get(server.port, "/health/ready")[0] == 200)
            rates: dict[int, list[load.Figures]] = {server.port: [], peer.port: []}
            seq = 1
            for _ in range(ROUNDS + 1):  # the first one fills what is remembered
                for one in (server, peer):
                    script = Path(folder) / "script.lua"
                    script.write_text(SCRIPT.replace("FILE", str(reports)).replace("SEQ", str(seq)))
                    rates[one.port].append(load.run(one.url, SECONDS, one.pid, script))
                    seq += 100_000
            best, least = (max(rates[one.port][1:], key=lambda figures: figures.rate) for one in (server, peer))
            assert not best.errors and not least.errors, (best, least)
    row.pacsync[name] = round(best.rate / least.rate, 2)
    row.pacsync[f"{name}_per_second"] = round(best.rate)
    assert row.peer is not None
    row.peer[f"{name}_per_second"] = round(least.rate)
