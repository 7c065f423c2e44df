"""The bench's check-ins that change nothing, on PostgreSQL, beside the least that a Django view can do for one.

The least view finds a token's row, updates it and answers, with the middleware of Django's startproject. Both run under
the same number of workers, in turns; wrk sends the reports. `fleet` makes the endpoints, past the ORM and the API.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench import faults, load
from tests.bench.row import Row
from tests.bench.servers import running_peer
from tests.support.load import get
from tests.support.server import ROOT, environment, running_server
from tests.support.wait import until

SIZES, STATES, PACKAGES = (10, 10_000), 600, 300
ROUNDS, SECONDS, WORKERS = 3, 3, (1, 2)
CODE = "from tests.bench.checkins import fleet; import sys; fleet(int(sys.argv[1]), sys.argv[2])"
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
        reports = Path(folder) / "reports"
        env = environment(url, DJANGO_SETTINGS_MODULE="pacsync.settings", INSIDE=int(inside))
        subprocess.run([sys.executable, "-c", CODE, str(size), str(reports)], cwd=ROOT, env=env, check=True)
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


def fleet(endpoints: int, reports: str) -> None:
    """Make that fleet in the database of DATABASE_URL, and write each endpoint's token and report to `reports`."""
    import os

    import django

    django.setup()
    from django.db import connection, transaction

    from apps.fleet import states, tokens
    from apps.fleet.models import Endpoint, EndpointRepository, Pool, RepositoryContent, TargetRevision

    inside = os.environ["INSIDE"] == "1"
    with transaction.atomic():
        names = [f"package{number:04}" for number in range(PACKAGES)]
        made = []
        for number in range(STATES + 1):
            old = {number % PACKAGES, number * 7 % PACKAGES} if number else set()
            packages = [
                states.InstalledPackage(
                    name, f"1.{0 if place in old else 9}-{1 + number // PACKAGES}", "x86_64", "explicit"
                )
                for place, name in enumerate(names)
            ]
            made.append(states.save(packages)[0])
        target, others = made[0], made[1:]
        pool = Pool.objects.create(name="fleet")
        pool.target = TargetRevision.objects.create(pool=pool, number=1, state=target, author="bench", unmanaged=[])
        pool.save()
        content = RepositoryContent.objects.create(digest="0" * 64, package_count=0, packages=b"")
        rows = Endpoint.objects.bulk_create(
            Endpoint(
                name=f"m{number:05}",
                arch="x86_64",
                pool=pool,
                token_hash=tokens.hash_of(f"pse_{number:040}"),
                state=target if inside else others[number % STATES],
                report_seq=1,
                agent_version="1.0.0",
            )
            for number in range(endpoints)
        )
        EndpointRepository.objects.bulk_create(
            EndpointRepository(endpoint=one, position=place, name=name, content=content, mirrors=["https://a.example/"])
            for one in rows
            for place, name in enumerate(("core", "extra", "multilib"))
        )
    repositories = [
        {"name": name, "digest": "0" * 64, "mirrors": ["https://a.example/"]} for name in ("core", "extra", "multilib")
    ]
    with Path(reports).open("w") as file:
        for number, one in enumerate(rows):
            report = {"seq": 0, "state": one.state_id, "repositories": repositories, "agent_version": "1.0.0"}
            file.write(f"pse_{number:040} {json.dumps(report)}\n")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
