"""What another endpoint, a mirror or a server may cost a machine: its disk, its time, its network. Real pacman."""

import json
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


def target(site: Site, pool: str, size: int, mirror: str = "http://mirror.invalid") -> None:
    Attacker(site, pool).set_target(
        ["app 9-1 any explicit"], offered=[f"app 9-1 any {FILE} {'a' * 64} {size}"], mirror=mirror
    )


def downloads(machine: Machine) -> Path:
    return agent.state_dir(machine) / "downloads"


@pytest.mark.parametrize("size", [20 << 30, (4 << 30) + 1])
def test_size_that_only_another_endpoint_declares_is_refused_above_the_limit(
    site: Site, victim: Machine, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = site.pool(auto_sync=True)
    site.enroll(pool, victim)
    with Hostile(endless) as mirror:
        monkeypatch.setenv("http_proxy", mirror.url)
        target(site, pool, size)
        done = agent.run(victim, "sync", "--json").refused(3)
        assert not [path for path in mirror.paths if path.endswith(FILE)]
    assert done.last["code"] == "package_unavailable"
    assert "app 9-1" in done.last["message"] and "GiB" in done.last["message"], done
    assert victim.state() == {"app": ("1-1", "explicit")} and not downloads(victim).exists()


def test_download_that_an_operator_cancels_ends_and_leaves_nothing(
    site: Site, victim: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the agent nor the pool's policy begins it again."""
    pool = site.pool(auto_sync=True)
    [name] = site.enroll(pool, victim)
    with Hostile(endless) as mirror:
        monkeypatch.setenv("http_proxy", mirror.url)
        target(site, pool, 4 << 30)
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


def test_mirror_that_only_the_target_names_is_not_asked_for_this_machine_itself(site: Site, victim: Machine) -> None:
    """Nor for what is on its link only; services there trust whoever reaches them."""
    pool = site.pool()
    site.enroll(pool, victim)
    with Hostile(endless) as service:
        target(site, pool, 1000, service.url)
        done = agent.run(victim, "sync", "--json").refused(3)
        assert service.paths == []
    assert "this machine itself" in done.last["message"], done


def false_answer(machine: Machine, pool: str, number: int) -> None:
    """The machine asks another server once, which says that its pool is at that revision."""
    answer = {"want": [], "status": "in_sync", "pool": pool, "target": None, "operation": None, "poll_seconds": 2}
    body = json.dumps({**answer, "revision": {"number": number, "digest": "a" * 64}}).encode()
    path = agent.state_dir(machine) / "credentials.json"
    before = path.read_text()
    with Hostile(lambda peer: peer.answer(body, Content_Type="application/json")) as server:
        path.write_text(json.dumps({**json.loads(before), "server": server.url}))
        agent.run(machine, "once")
    path.write_text(before)


@pytest.fixture
def followers(site: Site, fleet: Fleet) -> tuple[str, Machine, Machine]:
    """A pool at revision 1: the machine that set it, and one that is there too."""
    fleet.snapshot(NEW, [fleet.package("app", "2-1")])
    pool = site.pool(auto_sync=True)
    machines = [fleet.machine(name, OLD) for name in ("m1", "m2")]
    for machine in machines:
        machine.install("app")
    site.enroll(pool, *machines)
    agent.run(machines[0], "set-latest").ok()
    agent.run(machines[1], "once").ok()
    return pool, machines[0], machines[1]


def seen(machine: Machine) -> int:
    return int(json.loads((agent.state_dir(machine) / "revision.json").read_text())["number"])


def test_false_answer_with_a_number_of_no_server_changes_nothing(
    site: Site, followers: tuple[str, Machine, Machine]
) -> None:
    pool, _, machine = followers
    false_answer(machine, pool, 10**15)
    agent.run(machine, "once").ok()
    assert seen(machine) == 1
    assert site.call("GET", f"/pools/{pool}")["alarms"] == []


@pytest.mark.parametrize("way", ["in sync", "sync", "set-latest"])
def test_false_answer_with_a_number_far_ahead_ends_with_what_a_person_asks_for(
    site: Site, followers: tuple[str, Machine, Machine], way: str
) -> None:
    """The server pauses for what the machine has seen; there is a way back to automatic sync."""
    pool, source, machine = followers
    false_answer(machine, pool, 2_000_000_000)
    assert "restored from a backup" in agent.run(machine, "once").ok().out
    site.call("POST", f"/pools/{pool}/confirm", {})
    if way == "sync":
        source.go_to(NEW)
        source.upgrade()
        agent.run(source, "set-latest").ok()
    agent.run(machine, *(["set-latest", "--force"] if way == "set-latest" else ["sync"])).ok()
    assert seen(machine) < 2_000_000_000
    if way == "sync":
        assert machine.state() == source.state()
    site.call("POST", f"/pools/{pool}/confirm", {})
    assert "restored" not in agent.run(machine, "once").ok().out
    assert site.call("GET", f"/pools/{pool}")["alarms"] == []
