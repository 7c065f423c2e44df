"""One cache directory that several machines share: any number of them at once, none in another's way."""

import threading
import time
from pathlib import Path

import pytest

from apps.agent.pacsync_agent.databases.private_databases import Databases
from apps.agent.pacsync_agent.gather.cache import Cache
from apps.agent.pacsync_agent.gather.candidates import Trust
from apps.agent.pacsync_agent.gather.gatherer import Gatherer
from apps.agent.pacsync_agent.mirrors.network import Network
from apps.agent.pacsync_agent.mirrors.retry_schedule import Patience
from apps.agent.pacsync_agent.packages.package_file import Wanted
from apps.agent.pacsync_agent.system import files
from apps.agent.pacsync_agent.terminal.output import Output
from apps.agent.pacsync_agent.trust.accepted_checksums import Accepted
from apps.fleet.alpm.repository import OfferedPackage
from tests.agent.gathering import own
from tests.agent.test_mirrors_of_conf import conf
from tests.support.disk import small_disk
from tests.support.hostile import Hostile, Peer
from tests.support.pacman import Fleet, Package

MACHINES = 6


@pytest.fixture
def packages(tmp_path: Path) -> list[Package]:
    content = {f"usr/share/x/{number}": bytes([number]) * 4000 for number in range(50)}
    return [Fleet(tmp_path).package(f"p{number}", "1-1", files=content) for number in range(6)]


def gatherer(tmp_path: Path, name: str, mirror: str, packages: list[Package]) -> Gatherer:
    """A machine of its own: everything but the cache directory is in a directory of its name."""
    known = conf(tmp_path, "ParallelDownloads = 3", f"Server = {mirror}")
    directory = tmp_path / name
    directory.mkdir()
    offered = [
        OfferedPackage(one.name, one.version, one.arch, one.path.name, one.sha256, one.path.stat().st_size)
        for one in packages
    ]
    return Gatherer(
        known,
        databases=own(known, {"core": offered}, Databases()),
        trust=Trust(),
        accepted=Accepted(directory),
        cache=Cache(known, directory),
        network=Network(threading.Event(), patience=Patience(0)),
        output=Output(quiet=True),
    )


def wanted(packages: list[Package]) -> list[Wanted]:
    return [Wanted(one.name, one.version, one.arch) for one in packages]


@pytest.mark.parametrize("across", [False, True])
def test_many_machines_at_once_all_get_every_file(packages: list[Package], tmp_path: Path, across: bool) -> None:
    """`across`: the cache is another file system than the agents' own directories, as a network's is."""
    answers = {one.path.name: one.path.read_bytes() for one in packages}

    def slow(peer: Peer) -> None:
        whole = answers[peer.path.rpartition("/")[2]]
        peer.answer(whole[:1000], length=len(whole))
        time.sleep(0.2)
        peer.send(whole[1000:])

    problems: list[Exception] = []

    def run(one: Gatherer) -> None:
        try:
            one.gather(wanted(packages))
        except Exception as error:
            problems.append(error)

    def all_at_once() -> None:
        with Hostile(slow) as mirror:
            machines = [gatherer(tmp_path, f"m{number}", mirror.url, packages) for number in range(MACHINES)]
            threads = [threading.Thread(target=run, args=(one,)) for one in machines]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert problems == []
        found = {path.name: path.read_bytes() for path in (tmp_path / "cache").iterdir()}
        assert found == answers  # whole, and nothing beside them

    if across:
        with small_disk(tmp_path / "cache", "64m"):
            all_at_once()
    else:
        all_at_once()


@pytest.mark.parametrize("rebuilt", [False, True])
def test_signature_of_another_machine_stays_unless_its_file_is_replaced(
    packages: list[Package], tmp_path: Path, rebuilt: bool
) -> None:
    """This machine wants no signatures, and puts a file in whose signature lies there already."""
    [package, *_] = packages
    (tmp_path / "cache").mkdir()
    target = tmp_path / "cache" / package.path.name
    signature = target.with_name(f"{target.name}.sig")

    def answer(peer: Peer) -> None:
        """The other machine's file comes after this one has looked into the cache."""
        target.write_bytes(b"an older build" if rebuilt else package.path.read_bytes())
        signature.write_bytes(b"signature")
        peer.answer(package.path.read_bytes())

    with Hostile(answer) as mirror:
        known = gatherer(tmp_path, "m1", mirror.url, [package])
        known.gather(wanted([package]))
    assert target.read_bytes() == package.path.read_bytes()
    assert signature.exists() is not rebuilt


def test_same_is_about_bytes(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"x")
    assert not files.same(one, other)
    other.write_bytes(b"y")
    assert not files.same(one, other)
    other.write_bytes(b"x")
    assert files.same(one, other)
