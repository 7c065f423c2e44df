"""What another endpoint, a mirror or a server may cost a machine: its disk, its time, its network. Real pacman."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import agent
from tests.support.attacker import Attacker
from tests.support.hostile import Hostile, Peer
from tests.support.pacman import Fleet, Machine
from tests.support.site import Site, running_site
from tests.support.wait import until

pytestmark = pytest.mark.needs("pacman")

OLD, NEW = "2025/01/01", "2025/02/01"
FILE = "app-9-1-any.pkg.tar.zst"
REQUIRED = "SigLevel = Required DatabaseOptional"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    made = Fleet(tmp_path)
    made.snapshot(OLD, [made.package("app", "1-1")])
    return made


@pytest.fixture
def victim(fleet: Fleet) -> Machine:
    """As Arch has it: the repository requires signatures of packages, and none of its database."""
    machine = fleet.machine("m1", OLD, trusting=False)
    machine.install("app")
    machine.configure(f"{fleet.base_url}/repos/{OLD}/$repo/os/$arch", REQUIRED)
    return machine


def endless(peer: Peer) -> None:
    """The package without end, at a pace above the least; nothing else."""
    if not peer.path.endswith(FILE):
        return peer.answer(status="404 Not Found")
    peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
    peer.endless(b"x" * 65536, pause=0.05)


def target(site: Site, pool: str, mirror: str, size: int) -> None:
    Attacker(site, pool).set_target(
        ["app 9-1 any explicit"], offered=[f"app 9-1 any {FILE} {'a' * 64} {size}"], mirror=mirror
    )


def downloads(machine: Machine) -> Path:
    return agent.state_dir(machine) / "downloads"


@pytest.mark.parametrize("size", [20 << 30, (4 << 30) + 1])
def test_size_that_only_another_endpoint_declares_is_refused_above_the_limit(
    site: Site, victim: Machine, size: int
) -> None:
    pool = site.pool(auto_sync=True)
    site.enroll(pool, victim)
    with Hostile(endless) as mirror:
        target(site, pool, mirror.url, size)
        done = agent.run(victim, "sync", "--json").refused(3)
        assert not [path for path in mirror.paths if path.endswith(FILE)]
    assert done.last["code"] == "package_unavailable"
    assert "app 9-1" in done.last["message"] and "GiB" in done.last["message"], done
    assert victim.state() == {"app": ("1-1", "explicit")} and not downloads(victim).exists()


def test_download_that_an_operator_cancels_ends_and_leaves_nothing(site: Site, victim: Machine) -> None:
    """Neither the agent nor the pool's policy begins it again."""
    pool = site.pool(auto_sync=True)
    [name] = site.enroll(pool, victim)
    with Hostile(endless) as mirror:
        target(site, pool, mirror.url, 4 << 30)
        process = agent.start(victim, "sync", "--json")
        until(lambda: mirror.sent > 0, seconds=60)
        [operation] = site.operations(name)
        assert operation["status"] == "leased"
        site.call("POST", f"/operations/{operation['id']}/cancel")
        said, _ = process.communicate(timeout=100)
        assert process.returncode == 3 and '"code": "cancelled"' in said, said
        assert not downloads(victim).exists()
        asked = len(mirror.paths)
        agent.run(victim, "once").ok()
        assert len(mirror.paths) == asked
    assert [one["status"] for one in site.operations(name)] == ["cancelled"]
    assert victim.state() == {"app": ("1-1", "explicit")}
