"""The bench's repository analysis: endpoints that all see other repositories, beside a view that compares the texts."""

import json
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.bench import fleet_of
from tests.bench.paired import Client, in_turns
from tests.bench.served_fleet import SETTINGS
from tests.bench.servers import Peer, running_peer
from tests.bench.sized import WHOLE, Extent, SizedRow
from tests.support.load import get
from tests.support.migrated import running_postgres
from tests.support.server import ROOT, environment, manage, running_server
from tests.support.wait import until

CODE = "from tests.bench.analysis import give_repositories; import sys; give_repositories(*map(int, sys.argv[1:]))"
DIFFERENT = 100  # packages that each repository has in a version of its own
PATH = "/api/v1/pools/pool00/analysis"
UNLIMITED = {"COMPARISON_TIMEOUT": 0}  # the figures say whether it is within the limit of a request, which has 5 s
WHEN = ("cold", "asked again", "one repository changed")


def analysis(extent: Extent = WHOLE) -> SizedRow:
    """Asked first of a server that has just started; again; and after one endpoint reported another repository."""
    title = f"Analysis of {extent.compared} endpoints with {extent.offered:,} packages each, beside comparing the texts"
    row = SizedRow(title, "cold within the limit of a request (5 s); asked again, nothing is compared again")
    few = max(1, extent.rounds // 5)
    with running_postgres(shared_buffers="512MB") as postgres, TemporaryDirectory() as folder:
        url = postgres.create_database("bench")
        sizes = {"endpoints": extent.compared, "packages": extent.packages}
        made = fleet_of.make(url, Path(folder) / "fleet", **sizes, pools=1)
        spare = _give_repositories(url, extent, few)
        token = manage(url, "create_api_token", "bench").stdout.strip()
        with running_peer(url, "least_fleet") as peer:
            found = [_round(url, peer, token, made["agents"][number], spare[number]) for number in range(few)]
    for place, what in enumerate(WHEN):
        ours, least = zip(*(times[place] for times in found), strict=True)
        row.add(what, extent.compared, (statistics.median(ours), statistics.median(least)))
    return row


def _round(url: str, peer: Peer, token: str, agent: dict[str, str], repository: str) -> list[tuple[float, float]]:
    """The seconds of both, for each of WHEN."""
    reader = {"Authorization": f"Bearer {token}"}
    with running_server(url, **SETTINGS | UNLIMITED) as server:
        until(lambda: get(server.port, "/health/ready")[0] == 200)
        ours, least = Client(server.port, reader), Client(peer.port, reader)

        def once() -> tuple[float, float]:
            return in_turns(lambda: ours.get(PATH), lambda: least.get(PATH), 1)

        found = [once(), once()]
        said = fleet_of.report(agent, repository, 2)
        endpoint = {"Authorization": f"Bearer {agent['token']}", "Content_Type": "application/json"}
        ours.ask("POST", "/api/v1/checkin", said, **endpoint)
        found.append(once())
        ours.close()
        least.close()
    return found


def _give_repositories(url: str, extent: Extent, spare: int) -> list[str]:
    """Each endpoint gets a repository of its own; the digests of `spare` more that nobody has."""
    env = environment(url, DJANGO_SETTINGS_MODULE="pacsync.settings")
    command = [sys.executable, "-c", CODE, str(extent.offered), str(spare)]
    done = subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True, text=True)
    digests: list[str] = json.loads(done.stdout)
    return digests


def give_repositories(offered: int, spare: int) -> None:
    """`_give_repositories` in the database of DATABASE_URL; it prints the digests."""
    import django

    django.setup()
    from django.db import transaction

    from apps.fleet.models import EndpointRepository

    with transaction.atomic():
        rows: list[Any] = list(EndpointRepository.objects.order_by("endpoint"))
        digests = [_content(offered, number) for number in range(len(rows) + spare)]
        for row, digest in zip(rows, digests, strict=False):
            row.content_id = digest
        EndpointRepository.objects.bulk_update(rows, ["content"], batch_size=500)
    print(json.dumps(digests[len(rows) :]))


def _content(offered: int, number: int) -> str:
    """A repository that has DIFFERENT packages in a version of its own; its digest."""
    from apps.fleet import repositories
    from apps.fleet.alpm import canonical

    versions = dict.fromkeys(fleet_of.names(offered), "1.0-1")
    for place in range(DIFFERENT):
        versions[f"package{(number * DIFFERENT + place) * 7 % offered:04}"] = f"2.{number}-1"
    lines = [f"{name} {version} x86_64 {name}.pkg.tar.zst {'0' * 64} 1000" for name, version in versions.items()]
    text = canonical.write_lines(lines)
    return repositories.save(canonical.digest_of(text), text, offered)[0].digest
