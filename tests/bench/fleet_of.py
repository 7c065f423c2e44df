"""A fleet in the database, made past the ORM's managers and the API: N endpoints, each in a state of its own.

Endpoint i is `m…i`, in pool i modulo `pools`. Every fourth one is in its pool's target; the others have older versions
of a few packages. A table `bench_installed`, which only the least views read, says in plain rows which endpoint has
which version of the packages in ASKED. Run as `python -m tests.bench.fleet_of FILE --endpoints N …` with DATABASE_URL:
a process loads the settings only once.
"""

import argparse
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.server import ROOT, environment

VERSIONS = 6
OLD = 20  # packages of which an endpoint outside of its target has an older version
COMMON, RARE = "package0007", "package0003"  # one in any version on each endpoint; one that every tenth hasn't
MIRROR = "https://mirror.example/$repo/os/$arch"
TABLE = """
CREATE TABLE bench_installed (endpoint_id bigint NOT NULL, name text NOT NULL, version text NOT NULL);
CREATE TABLE bench_text (digest text PRIMARY KEY, text bytea NOT NULL);
"""
INDEX = "CREATE INDEX ON bench_installed (name, version, endpoint_id); ANALYZE"


def make(url: str, file: Path, *, endpoints: int, packages: int, pools: int = 20, **env: object) -> dict[str, Any]:
    """Fill the migrated database of `url`; what is written to `file` comes back, too.

    {"agents": [{"name", "token", "state"}], "repository": digest, "states": [digest], "session": of an administrator}
    """
    options = [f"--endpoints={endpoints}", f"--packages={packages}", f"--pools={pools}"]
    variables = environment(url, DJANGO_SETTINGS_MODULE="pacsync.settings", **env)
    subprocess.run([sys.executable, "-m", __name__, str(file), *options], cwd=ROOT, env=variables, check=True)
    made: dict[str, Any] = json.loads(file.read_text())
    return made


def names(packages: int) -> list[str]:
    return [f"package{number:04}" for number in range(packages)]


def report(agent: dict[str, str], repository: str, seq: int, state: str = "") -> bytes:
    """The body of a check-in of that agent."""
    repositories = [{"name": "core", "digest": repository, "mirrors": [MIRROR]}]
    body = {"seq": seq, "state": state or agent["state"], "repositories": repositories, "agent_version": "1.0.0"}
    return json.dumps(body | {"holds": [], "replaced": []}).encode()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    for option in ("endpoints", "packages", "pools"):
        parser.add_argument(f"--{option}", type=int, required=True)
    options = parser.parse_args()

    import django

    django.setup()
    from django.db import connection, transaction

    with transaction.atomic():
        made = _fill(options.endpoints, options.packages, options.pools)
    with connection.cursor() as cursor:
        cursor.execute(INDEX)
    options.file.write_text(json.dumps(made))


def _fill(endpoints: int, packages: int, pools: int) -> dict[str, Any]:
    from django.conf import settings
    from django.contrib.auth import get_user_model
    from django.db import connection
    from django.test import Client

    from apps.fleet import clock, endpoint_manager, tokens
    from apps.fleet.alpm import repository as repository_text
    from apps.fleet.alpm.repository import OfferedPackage
    from apps.fleet.models import Endpoint, EndpointRepository, Pool, TargetRevision

    digests, held = _states(endpoints, packages)
    text = repository_text.to_text(
        OfferedPackage(name, f"1.{VERSIONS - 1}-1", "x86_64", f"{name}.pkg.tar.zst", "0" * 64, 1000)
        for name in names(packages)
    )
    content = endpoint_manager.store_repository(digest=repository_text.digest_of(text), text=text)[0]
    groups = Pool.objects.bulk_create(Pool(name=f"pool{number:02}") for number in range(pools))
    targets = TargetRevision.objects.bulk_create(
        TargetRevision(pool=pool, number=1, state_id=digests[0], author="bench", unmanaged=[]) for pool in groups
    )
    for pool, target in zip(groups, targets, strict=True):
        pool.target, pool.highest_number = target, 1
    Pool.objects.bulk_update(groups, ["target", "highest_number"])
    now = clock.now()
    rows = Endpoint.objects.bulk_create(
        (
            Endpoint(
                name=f"m{number:05}",
                arch="x86_64",
                pool=groups[number % pools],
                token_hash=tokens.hash_of(f"pse_{number:040}"),
                state_id=digests[place],
                report_seq=1,
                last_seen=now,
                agent_version="1.0.0" if number % 3 else "0.9.0",
            )
            for number, place in enumerate(map(_place, range(endpoints)))
        ),
        batch_size=2000,
    )
    EndpointRepository.objects.bulk_create(
        (EndpointRepository(endpoint=row, position=0, name="core", content=content, mirrors=[MIRROR]) for row in rows),
        batch_size=5000,
    )
    _operations(rows, targets, digests)
    with connection.cursor() as cursor:
        cursor.execute(TABLE)
        lines = [(row.pk, *one) for number, row in enumerate(rows) for one in held[_place(number)]]
        cursor.executemany("INSERT INTO bench_installed VALUES (%s, %s, %s)", lines)
    client = Client()
    client.force_login(get_user_model()._default_manager.create_superuser("bench"))
    agents = [
        {"name": row.name, "token": f"pse_{number:040}", "state": row.state_id} for number, row in enumerate(rows)
    ]
    session = client.cookies[settings.SESSION_COOKIE_NAME].value
    return {"agents": agents, "states": digests, "repository": content.digest, "session": session}


def _place(number: int) -> int:
    """Which state endpoint `number` is in: 0 is the target."""
    return number + 1 if number % 4 else 0


def _states(count: int, packages: int) -> tuple[list[str], list[list[tuple[str, str]]]]:
    """The target and `count` other states: their digests, and what each has of COMMON and RARE."""
    from apps.fleet import states
    from apps.fleet.models import State

    chance, known = random.Random(1), names(packages)
    versions = [f"1.{minor}-1" for minor in range(VERSIONS)]
    ids = states.intern((name, version, "x86_64") for name in known for version in versions)
    keys = [[ids[name, version, "x86_64"] << 1 for version in versions] for name in known]
    newest = [of_one[-1] for of_one in keys]
    common, rare = known.index(COMMON), known.index(RARE)
    made, held = [], []
    for number in range(count + 1):
        values, minor = list(newest), VERSIONS - 1
        if number:
            for place in chance.sample(range(packages), min(OLD, packages // 2)):
                values[place] = keys[place][chance.randrange(VERSIONS - 1)]
            minor = chance.randrange(VERSIONS)
            values[common], values[rare] = keys[common][minor], newest[rare]
        has = [(COMMON, versions[minor])]
        if number % 10 == 1:
            del values[rare]
        else:
            has.append((RARE, versions[-1]))
        held.append(has)
        packed = states.pack(values)
        made.append(State(digest=f"{number:064x}", arch="x86_64", package_count=len(values), packages=packed))
    State.objects.bulk_create(made, batch_size=500)
    return [state.digest for state in made], held


def _operations(rows: list[Any], targets: list[Any], digests: list[str]) -> None:
    """One finished operation for each endpoint; every fiftieth failed."""
    from datetime import timedelta

    from apps.fleet import clock
    from apps.fleet.models import Operation

    now = clock.now()
    Operation.objects.bulk_create(
        (
            Operation(
                endpoint=row,
                kind="sync",
                status="succeeded" if number % 50 else "failed",
                revision=targets[number % len(targets)],
                base_state_id=row.state_id,
                target_state_id=digests[0],
                result={"outcome": "failed", "code": "no_room", "message": ""} if number % 50 == 0 else {},
                author="bench",
                deadline=now + timedelta(hours=1),
                finished=now,
            )
            for number, row in enumerate(rows)
        ),
        batch_size=2000,
    )


if __name__ == "__main__":
    main()
