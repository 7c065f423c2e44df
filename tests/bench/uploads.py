"""The bench's uploads: a new state, a known one and a new repository, beside a view that only keeps the text."""

import contextlib
import gzip
import itertools
import random
from collections.abc import Callable, Iterator

from apps.fleet.alpm import canonical
from tests.bench import fleet_of
from tests.bench.paired import Client, in_turns
from tests.bench.served_fleet import ServedFleet, served
from tests.bench.sized import WHOLE, Extent, SizedRow

Upload = tuple[str, bytes]  # path, gzip


def uploads(extent: Extent = WHOLE) -> SizedRow:
    """Each upload comes from the next endpoint."""
    title = f"Uploads ({extent.packages:,} packages installed, {extent.offered:,} offered), beside keeping the text"
    row = SizedRow(title, "grows with the text, not with the fleet")
    known = _state(extent, 0)  # each fleet gets it first as a new one
    for size in extent.sizes:
        with served(extent, size) as fleet:
            row.add("new state", size, _sent(fleet, lambda number: _state(extent, number)))
            row.add("known state", size, _sent(fleet, lambda _: known))
            row.add("new repository", size, _sent(fleet, lambda number: _repository(extent, number)))
    return row


def _sent(fleet: ServedFleet, make: Callable[[int], Upload]) -> tuple[float, float]:
    """The median seconds of both; what is sent is made outside of the time that is measured."""
    numbers, agents = itertools.count(), itertools.cycle(fleet.made["agents"])
    with _client(fleet.server.port) as ours, _client(fleet.peer.port) as least:
        upload: Upload = ("", b"")

        def prepare() -> None:
            nonlocal upload
            upload = make(next(numbers))
            ours.headers["Authorization"] = least.headers["Authorization"] = f"Bearer {next(agents)['token']}"

        def send(client: Client) -> bytes:
            path, data = upload
            return client.ask(
                "PUT", path, data, Content_Type="text/plain; charset=utf-8", Content_Encoding="gzip", Accept="*/*"
            )

        def first() -> None:
            prepare()
            send(ours)
            send(least)

        return in_turns(lambda: send(ours), lambda: send(least), fleet.extent.rounds, before=first, each=prepare)


@contextlib.contextmanager
def _client(port: int) -> Iterator[Client]:
    with contextlib.closing(Client(port, {})) as client:
        yield client


def _state(extent: Extent, number: int) -> Upload:
    """The target with older versions of some packages, and a new version of one that nobody has."""
    chance, newest = random.Random(number), f"1.{fleet_of.VERSIONS - 1}-1"
    versions = dict.fromkeys(fleet_of.names(extent.packages), newest)
    for name in chance.sample(list(versions), min(fleet_of.OLD, extent.packages // 2)):
        versions[name] = f"1.{chance.randrange(fleet_of.VERSIONS - 1)}-1"
    versions[fleet_of.COMMON] = f"2.{number}-1"
    return _upload("states", [f"{name} {version} x86_64 explicit" for name, version in versions.items()])


def _repository(extent: Extent, number: int) -> Upload:
    names = fleet_of.names(extent.offered)
    return _upload(
        "repositories",
        [f"{name} 3.{number}-1 x86_64 {name}-3.{number}-1-x86_64.pkg.tar.zst {'0' * 64} 1000" for name in names],
    )


def _upload(kind: str, lines: list[str]) -> Upload:
    text = canonical.write_lines(lines)
    return f"/api/v1/{kind}/{canonical.digest_of(text)}", gzip.compress(text, mtime=0)
