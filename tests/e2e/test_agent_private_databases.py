"""The mirrors' current databases, which the agent fetches for itself, with real pacman and signatures."""

import threading

import pytest

from apps.agent.pacsync_agent.databases import private_databases
from apps.agent.pacsync_agent.databases.private_databases import Databases
from apps.agent.pacsync_agent.pacman import configuration
from tests.e2e.two_endpoints import NEW, OLD
from tests.support.hostile import Hostile
from tests.support.keys import Keys
from tests.support.pacman import Fleet, Machine

pytestmark = pytest.mark.needs("pacman")


class Owner:
    """What private_databases.fetch needs of a machine."""

    def __init__(self, machine: Machine) -> None:
        self.conf = configuration.read(machine.config, None, None)
        self.state_dir = machine.directory
        self.stop = threading.Event()


def fetch(machine: Machine, *names: str) -> Databases:
    found = private_databases.fetch(Owner(machine), names)
    assert not (machine.directory / "private-databases").exists()
    return found


def test_private_databases_are_the_mirrors_current_ones_and_the_machines_own_stay(fleet: Fleet) -> None:
    fleet.snapshot(OLD, [fleet.package("tool", "1-1")])
    fleet.snapshot(NEW, [fleet.package("tool", "2-1")])
    machine = fleet.machine("m1", OLD, trusting=False)
    before = {path.name: path.read_bytes() for path in (machine.dbpath / "sync").iterdir()}
    machine.configure(f"{fleet.base_url}/repos/{NEW}/$repo/os/$arch")
    with (machine.dbpath / "db.lck").open("xb"):  # another pacman at work is no hindrance
        found = fetch(machine, "core", "nowhere")
    assert [(one.name, one.version) for one in found.readable["core"].packages] == [("tool", "2-1")]
    assert found.reasons == {"nowhere": "it is not in this machine's pacman.conf"}
    assert {path.name: path.read_bytes() for path in (machine.dbpath / "sync").iterdir()} == before


def test_private_databases_that_cannot_be_had_have_their_reason(fleet: Fleet) -> None:
    database = fleet.snapshot(OLD, [fleet.package("tool", "1-1")])
    machine = fleet.machine("m1", OLD, trusting=False)
    database.write_bytes(b"<html>Please log in</html>")
    assert fetch(machine, "core").readable == {}
    database.unlink()
    assert fetch(machine, "core").reasons == {"core": "no mirror gives a valid one"}
    with Hostile(lambda peer: peer.reset()) as dead:
        machine.configure(f"http://me:s3cret@{dead.host}")
        assert fetch(machine, "core").reasons == {"core": "no mirror gives a valid one"}


@pytest.mark.needs("gpg")
@pytest.mark.parametrize("signer", ["good", "unknown", "nobody", "other"])
def test_private_databases_are_checked_by_the_own_siglevel(fleet: Fleet, signer: str) -> None:
    database = fleet.snapshot(OLD, [fleet.package("tool", "1-1")])
    machine = fleet.machine("m1", OLD, trusting=False)
    machine.configure(f"{fleet.base_url}/repos/{OLD}/$repo/os/$arch", "SigLevel = PackageNever DatabaseRequired")
    packager, keys = Keys(fleet.directory / "packager"), Keys(machine.directory / "gnupg")
    if signer != "nobody":
        key = packager.make("packager")
        packager.sign(database, key)
        if signer == "other":
            database.write_bytes(fleet.snapshot(NEW, [fleet.package("tool", "2-1")]).read_bytes())
        keys.learn(packager.export(key) if signer != "unknown" else packager.export(packager.make("x")), key)
    found = fetch(machine, "core")
    assert list(found.readable) == (["core"] if signer == "good" else [])
    assert bool(found.reasons) == (signer != "good")
    packager.stop()
    keys.stop()
