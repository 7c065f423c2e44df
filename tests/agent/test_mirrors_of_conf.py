"""What pacman.conf says of mirrors and downloads, CacheServer and ParallelDownloads, as pacman 7 prints it."""

import threading
from pathlib import Path

import pytest

from apps.agent.pacsync_agent.databases.private_databases import Databases
from apps.agent.pacsync_agent.gather import candidates
from apps.agent.pacsync_agent.gather.cache import Cache
from apps.agent.pacsync_agent.gather.candidates import Trust
from apps.agent.pacsync_agent.gather.gatherer import Gatherer
from apps.agent.pacsync_agent.mirrors.network import Network
from apps.agent.pacsync_agent.mirrors.retry_schedule import Patience
from apps.agent.pacsync_agent.packages.package_file import Wanted
from apps.agent.pacsync_agent.pacman import configuration
from apps.agent.pacsync_agent.pacman.configuration import PacmanConf
from apps.agent.pacsync_agent.terminal.output import Output
from apps.agent.pacsync_agent.trust.accepted_checksums import Accepted
from apps.fleet.alpm.repository import OfferedPackage
from tests.agent.gathering import own
from tests.support.hostile import Hostile, Peer
from tests.support.pacman import Fleet


def conf(tmp_path: Path, options: str = "", repository: str = "") -> PacmanConf:
    """The configuration of a machine with this text in [options], and in [core]."""
    text = f"[options]\nRootDir = {tmp_path}\nDBPath = {tmp_path}\n"
    text += f"CacheDir = {tmp_path / 'cache'}\nSigLevel = PackageNever\n"
    return configuration.of_text(f"{text}{options}\n[core]\n{repository}\n", None, None)


@pytest.mark.parametrize(("said", "counts"), [("", 1), ("1", 1), ("5", 5), ("20", 20), ("5000", 100), ("no", 1)])
def test_parallel_downloads_are_as_many_as_pacman_makes(tmp_path: Path, said: str, counts: int) -> None:
    assert conf(tmp_path, f"ParallelDownloads = {said}" if said else "").parallel == counts


def test_cache_servers_are_asked_first_and_their_failures_cost_nothing(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    packages = [fleet.package(name, "1-1") for name in ("a", "b", "c")]

    def cached(peer: Peer) -> None:
        if peer.path.endswith("/a-1-1-any.pkg.tar.zst"):
            peer.answer(packages[0].path.read_bytes())
        else:
            peer.answer(status="404 Not Found")

    def whole(peer: Peer) -> None:
        peer.answer(next(one for one in packages if peer.path.endswith(one.path.name)).path.read_bytes())

    with Hostile(cached) as near, Hostile(whole) as far:
        known = conf(tmp_path, "", f"CacheServer = {near.url}/x\nServer = {far.url}/y")
        (tmp_path / "state").mkdir()
        offered = [
            OfferedPackage(one.name, one.version, one.arch, one.path.name, one.sha256, one.path.stat().st_size)
            for one in packages
        ]
        gatherer = Gatherer(
            known,
            databases=own(known, {"core": offered}, Databases()),
            trust=Trust(),
            accepted=Accepted(tmp_path / "state"),
            cache=Cache(known, tmp_path / "state"),
            network=Network(threading.Event(), patience=Patience(0)),
            output=Output(quiet=True),
        )
        gatherer.gather(Wanted(one.name, one.version, one.arch) for one in packages)
    assert len(near.paths) == 3 and sorted(far.paths) == ["/y/b-1-1-any.pkg.tar.zst", "/y/c-1-1-any.pkg.tar.zst"]
    wanted = Wanted("a", "1-1", "any")
    found, _ = candidates.of(wanted, known, own(known, {"core": offered}, Databases()), Trust()).sources(known)
    assert str(found[0]).startswith(near.url)
