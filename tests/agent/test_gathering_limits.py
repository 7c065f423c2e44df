"""What gathering may cost: time, room on the disk, dead mirrors; and who gets the mirrors' credentials."""

import dataclasses
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from apps.agent.pacsync_agent.databases.private_databases import Databases
from apps.agent.pacsync_agent.errors import Refused, Unreachable
from apps.agent.pacsync_agent.gather import candidates
from apps.agent.pacsync_agent.gather.cache import Cache
from apps.agent.pacsync_agent.gather.candidates import Trust
from apps.agent.pacsync_agent.gather.gatherer import Gatherer
from apps.agent.pacsync_agent.mirrors.addresses import Address
from apps.agent.pacsync_agent.mirrors.network import Limits, Network
from apps.agent.pacsync_agent.mirrors.retry_schedule import Patience
from apps.agent.pacsync_agent.packages.package_file import Wanted
from apps.agent.pacsync_agent.system import disk_space
from apps.agent.pacsync_agent.terminal.output import Output
from apps.agent.pacsync_agent.trust.accepted_checksums import Accepted
from tests.agent.gathering import OK, QUICK, REQUIRED, GatheringMachine, begins, own
from tests.support.hostile import DRIP, Hostile, Peer
from tests.support.pacman import Package


def test_dead_mirror_costs_a_few_waits_and_is_passed_over_then(package: Package, tmp_path: Path) -> None:
    with Hostile(lambda peer: peer.silence()) as dead, Hostile(lambda peer: peer.answer(b"")) as empty:
        machine = GatheringMachine(tmp_path, package, dead.url)
        network = Network(threading.Event(), limits=QUICK, patience=Patience(0))
        for _ in range(6):
            gatherer = Gatherer(
                machine.conf,
                databases=machine.databases,
                trust=Trust(),
                accepted=Accepted(machine.state_dir),
                cache=Cache(machine.conf, machine.state_dir),
                network=network,
                output=Output(quiet=True),
            )
            with pytest.raises(Unreachable):
                gatherer.gather([Wanted(package.name, package.version, package.arch)])
        assert len(dead.paths) == 3
        assert network.hosts.passed_over(Address(dead.url).host) is not None
        assert network.hosts.passed_over(Address(empty.url).host) is None


def test_credentials_go_to_their_own_host_alone(package: Package, tmp_path: Path) -> None:
    whole = package.path.read_bytes()
    with Hostile(lambda peer: peer.answer(whole)) as other:

        def answer(peer: Peer) -> None:
            if peer.path.startswith("/here"):
                peer.answer(status="302 Found", Location=f"/again/{package.path.name}")
            else:
                peer.answer(status="302 Found", Location=f"{other.url}/{package.path.name}")

        with Hostile(answer) as own:
            machine = GatheringMachine(tmp_path, package, f"http://me:p%40ss@{own.host}/here")
            assert machine.gather().path.read_bytes() == whole
            assert [request.get("authorization") for request in own.requests] == ["Basic bWU6cEBzcw=="] * 2
        assert [request.get("authorization") for request in other.requests] == [None]


ALONE = (OK + b"\r\n", b"x" * 65536)


@pytest.mark.parametrize("declared", [None, 20 << 30])
def test_endless_file_leaves_the_reserve_of_the_disk(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, declared: int | None
) -> None:
    """Even if nobody declares a size, so that nothing can be refused before."""
    room = 48 << 20

    def usage(path: Path) -> SimpleNamespace:
        taken = sum(one.stat().st_size for one in tmp_path.rglob("*.part"))
        return SimpleNamespace(total=1 << 40, used=taken, free=disk_space.RESERVE + room - taken)

    monkeypatch.setattr(disk_space.shutil, "disk_usage", usage)
    with Hostile(begins(*ALONE)(b"")) as server:
        machine = GatheringMachine(tmp_path, package, server.url, REQUIRED)
        offered = [dataclasses.replace(machine.offered, size=declared or 0)]
        machine.databases = own(machine.conf, {"core": offered}, Databases())
        with pytest.raises(Refused) as error:
            machine.gather(limits=Limits())
        assert error.value.code == "disk_full" and error.value.hint and str(tmp_path) in error.value.message
        assert machine.left_behind() == []
        assert server.sent == 0 if declared else room < server.sent < room + (100 << 20)


@pytest.mark.parametrize("size", [1, 4 << 30, 1 << 50])
def test_limit_of_time_does_not_grow_with_what_is_declared(size: int) -> None:
    limits = Limits()
    assert limits.base <= limits.total(size) <= limits.longest == 6 * 3600
    assert limits.total(None) <= limits.longest


def test_gathering_of_many_files_has_an_end_too(package: Package, tmp_path: Path) -> None:
    with Hostile(begins(OK + b"\r\n", b"x" * 1000, DRIP)(b"")) as server:
        machine = GatheringMachine(tmp_path, package, server.url)
        with pytest.raises(Unreachable, match="took longer") as error:
            machine.gather(limits=Limits(gathering=1))
        assert error.value.code == "mirror_failed"
        assert machine.left_behind() == []


def test_size_that_an_own_database_declares_is_believed(package: Package, tmp_path: Path) -> None:
    """A package above the limit, of a repository of the machine's own."""
    machine = GatheringMachine(tmp_path, package, "http://127.0.0.1:9")
    wanted = Wanted(package.name, package.version, package.arch, size=99 << 30)
    assert not candidates.of(wanted, machine.conf, machine.databases, Trust()).is_too_large(1)
    assert candidates.of(Wanted("x", "1-1", "any", size=2), machine.conf, machine.databases, Trust()).is_too_large(1)
