"""A fleet in the database, made past the ORM's managers and the API, and what its agents need to speak for it.

Endpoint i is `m…i`. State 0 is the target; the others lack its newest versions of some packages. Run as
`python -m tests.simulate.fleet FILE --endpoints N …` with DATABASE_URL: a process loads the settings only once.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.server import ROOT, environment

PACKAGES = 300
MIRROR = "https://mirror.example/$repo/os/$arch"
REPOSITORIES = ("core", "extra", "multilib")


def make(url: str, file: Path, *, endpoints: int, states: int, inside: bool, automatic: bool = False) -> None:
    """Fill the database of `url`.

    `file` gets {"states": [digest], "agents": [{"name", "token", "state"}], "repositories": […]}. `inside`: every
    endpoint is in the target; otherwise each is in one of `states` others. `automatic`: the pool syncs by itself.
    """
    options = [f"--endpoints={endpoints}", f"--states={states}", *(["--inside"] if inside else [])]
    command = [sys.executable, "-m", "tests.simulate.fleet", str(file), *options, *(["--auto"] if automatic else [])]
    env = environment(url, DJANGO_SETTINGS_MODULE="pacsync.settings")
    subprocess.run(command, cwd=ROOT, env=env, check=True)


def report(agent: dict[str, str], repositories: list[dict[str, Any]], seq: int, state: str = "") -> dict[str, Any]:
    """The body of a check-in of that agent."""
    body = {"seq": seq, "state": state or agent["state"], "repositories": repositories, "agent_version": "1.0.0"}
    return body | {"holds": [], "replaced": []}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--endpoints", type=int, required=True)
    parser.add_argument("--states", type=int, required=True)
    parser.add_argument("--inside", action="store_true")
    parser.add_argument("--auto", action="store_true")
    options = parser.parse_args()

    import django

    django.setup()
    from django.db import connection, transaction

    from apps.fleet import endpoint_manager, states, tokens
    from apps.fleet.alpm import repository as repository_text
    from apps.fleet.alpm.repository import OfferedPackage
    from apps.fleet.alpm.state import EXPLICIT, InstalledPackage
    from apps.fleet.models import Endpoint, EndpointRepository, Pool, TargetRevision

    names = [f"package{number:04}" for number in range(PACKAGES)]
    with transaction.atomic():
        target = states.save([InstalledPackage(name, "1.9-1", "x86_64", EXPLICIT) for name in names])[0]
        others = []
        for number in range(options.states):
            old = {number % PACKAGES, number * 7 % PACKAGES}
            version = f"1.{number // PACKAGES}-1"
            packages = [
                InstalledPackage(name, version if place in old else "1.9-1", "x86_64", EXPLICIT)
                for place, name in enumerate(names)
            ]
            others.append(states.save(packages)[0])
        text = repository_text.to_text(
            OfferedPackage(name, "1.9-1", "x86_64", f"{name}-1.9-1-x86_64.pkg.tar.zst", "0" * 64, 1000)
            for name in names
        )
        content = endpoint_manager.store_repository(digest=repository_text.digest_of(text), text=text)[0]
        pool = Pool.objects.create(name="fleet", auto_sync=options.auto)
        pool.target = TargetRevision.objects.create(
            pool=pool, number=1, state=target, author="simulation", unmanaged=[]
        )
        pool.save()
        rows = Endpoint.objects.bulk_create(
            Endpoint(
                name=f"m{number:05}",
                arch="x86_64",
                pool=pool,
                token_hash=tokens.hash_of(f"pse_{number:040}"),
                state=target if options.inside else others[number % len(others)],
                report_seq=1,
                agent_version="1.0.0",
            )
            for number in range(options.endpoints)
        )
        EndpointRepository.objects.bulk_create(
            EndpointRepository(endpoint=one, position=place, name=name, content=content, mirrors=[MIRROR])
            for one in rows
            for place, name in enumerate(REPOSITORIES)
        )
    agents = [
        {"name": one.name, "token": f"pse_{number:040}", "state": one.state_id} for number, one in enumerate(rows)
    ]
    repositories = [{"name": name, "digest": content.digest, "mirrors": [MIRROR]} for name in REPOSITORIES]
    digests = [one.digest for one in (target, *others)]
    options.file.write_text(json.dumps({"states": digests, "agents": agents, "repositories": repositories}))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


if __name__ == "__main__":
    main()
