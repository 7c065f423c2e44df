"""The bench's question about packages: a fleet of 10,000 endpoints, each in a state of its own, on a real server.

`fleet` makes it, past the ORM and the API: 1,500 packages each, of which some are a few versions behind.
"""

import random
import statistics
import subprocess
import sys
import time

import psycopg

from tests.bench import faults
from tests.bench.row import Figures, Row
from tests.support.load import get
from tests.support.server import ROOT, environment, manage, running_server
from tests.support.wait import until

ENDPOINTS, PACKAGES, VERSIONS = 10_000, 1_500, 6
ROUNDS = 9
CODE = "from tests.bench.packages import fleet; import sys; fleet(*map(int, sys.argv[1:]))"


def packages() -> Row:
    """How long both questions take, asked of a running server one after the other, and what the index costs."""
    row = Row(f"Questions about a package, {ENDPOINTS:,} endpoints with {PACKAGES:,} packages", "< 0.2 s")
    with faults.database(shared_buffers="512MB") as (_, url):
        _grow(url)
        token = manage(url, "create_api_token", "bench").stdout.strip()
        with running_server(url) as server:
            until(lambda: get(server.port, "/health/ready")[0] == 200)
            row.pacsync["versions_without_index"] = round(_asked(server.port, "/packages/package0007", token, 1), 3)
            started = time.monotonic()
            done = manage(url, "rebuild_package_index")
            assert done.returncode == 0, done.stdout + done.stderr
            row.pacsync["index_built_in"] = round(time.monotonic() - started, 1)
            row.pacsync |= _sizes(url)
            for name, path in (
                ("versions", "/packages/package0007"),
                ("older_than", "/packages/package0007/endpoints?older_than=1.4-1&limit=200"),
                ("missing", "/packages/package1499/endpoints?missing=true&limit=200"),
                ("nobody", "/packages/nobody/endpoints"),
            ):
                row.pacsync[name] = round(_asked(server.port, path, token), 3)
    return row


def _asked(port: int, path: str, token: str, rounds: int = ROUNDS) -> float:
    """The median of some answers, in seconds."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        status, _, body = get(port, f"/api/v1{path}", headers={"Authorization": f"Bearer {token}"})
        times.append(time.perf_counter() - started)
        assert status == 200, body
    return statistics.median(times)


def _sizes(url: str) -> Figures:
    with psycopg.connect(url) as connection:
        found = {}
        for name, table in (("states_mb", "fleet_state"), ("index_mb", "fleet_posting")):
            size = connection.execute("SELECT pg_total_relation_size(%s)", [table]).fetchone()
            found[name] = round(size[0] / 1e6, 1) if size else 0
        return found


def _grow(url: str) -> None:
    sizes = (ENDPOINTS, PACKAGES, VERSIONS)
    env = environment(url, DJANGO_SETTINGS_MODULE="pacsync.settings")
    subprocess.run([sys.executable, "-c", CODE, *map(str, sizes)], cwd=ROOT, env=env, check=True)


def fleet(endpoints: int, packages: int, versions: int) -> None:
    """Make that fleet in the database of DATABASE_URL: each endpoint without five of the packages."""
    import django

    django.setup()
    from django.db import connection, transaction

    from apps.fleet import states
    from apps.fleet.models import Endpoint, Pool, State

    chance = random.Random(1)
    names = [f"package{number:04}" for number in range(packages)]
    with transaction.atomic():
        ids = states.intern((name, f"1.{minor}-1", "x86_64") for name in names for minor in range(versions))
        keys = [[ids[name, f"1.{minor}-1", "x86_64"] for minor in range(versions)] for name in names]
        pools = Pool.objects.bulk_create(Pool(name=f"pool{number}") for number in range(20))
        for start in range(0, endpoints, 500):
            numbers, made = range(start, min(start + 500, endpoints)), []
            for number in numbers:
                newest = chance.randrange(versions)
                left_out = set(chance.sample(range(packages), 5))
                values = [
                    of_one[newest if chance.random() < 0.9 else chance.randrange(versions)] << 1
                    for place, of_one in enumerate(keys)
                    if place not in left_out
                ]
                packed = states.pack(values)
                made.append(State(digest=f"{number:064x}", arch="x86_64", package_count=len(values), packages=packed))
            State.objects.bulk_create(made)
            Endpoint.objects.bulk_create(
                Endpoint(
                    name=f"m{number:05}",
                    arch="x86_64",
                    state_id=f"{number:064x}",
                    pool=pools[number % 20] if number % 21 else None,
                    report_seq=1,
                )
                for number in numbers
            )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
