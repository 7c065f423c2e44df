"""Whose bytes a machine installs, with real pacman, signatures and server: an endpoint can't choose for another."""

import dataclasses
import json
import os
import threading
from pathlib import Path

import pytest

from apps.agent.pacsync_agent import pacman_conf, private_databases
from apps.agent.pacsync_agent.private_databases import Databases
from tests.support import agent
from tests.support.hostile import Hostile, Peer
from tests.support.keys import SHORTLY_AFTER, Keys
from tests.support.pacman import Fleet, Machine, Package
from tests.support.site import Site

pytestmark = pytest.mark.needs("pacman")

OLD, NEW, REBUILT, HOSTILE = "2025/01/01", "2025/02/01", "2025/03/01", "2025/04/01"


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


class Lab:
    """`one` is a machine of an admin, its mirror a link that the test moves; `two` is somebody else's endpoint."""

    def __init__(self, fleet: Fleet, site: Site, *, options: str = "", **policy: object) -> None:
        self.fleet, self.site = fleet, site
        self.old = [fleet.package("base", "1-1"), fleet.package("tool", "1-1")]
        self.new = [fleet.package("base", "1-1"), fleet.package("tool", "2-1")]
        fleet.snapshot(OLD, self.old)
        fleet.snapshot(NEW, self.new)
        self.current = fleet.archive / "repos" / "current"
        self.move(OLD)
        self.one = self.machine("m1", options)
        self.one.install("base", "tool")
        self.two = fleet.machine("m2", NEW, trusting=False)
        self.two.install("base", "tool")
        self.names = site.enroll(site.pool(**policy), self.one, self.two)

    def machine(self, name: str, options: str = "") -> Machine:
        machine = self.fleet.machine(name, "current", trusting=False, options=options)
        return machine

    def move(self, day: str) -> None:
        """What the mirror of `one` has from now on; its database stays what it was."""
        self.current.unlink(missing_ok=True)
        self.current.symlink_to(self.fleet.archive / "repos" / day)

    def set_target(self) -> None:
        agent.run(self.two, "set-latest").ok()

    def evil(self) -> Package:
        """The same name and version with other bytes, in the hands of endpoint two."""
        directory = self.fleet.directory / "evil"
        theirs = Fleet(directory)
        package = theirs.package("tool", "2-1", files={"usr/share/tool/version": b"evil"})
        theirs.snapshot(NEW, [self.old[0], package])
        self.two.configure(f"{theirs.base_url}/repos/{NEW}/$repo/os/$arch")
        self.two.pacman("-Syy")
        self.two.empty_cache()
        self.two.pacman("-S", "tool")
        assert self.two.file("usr/share/tool/version") == b"evil"
        return package


@pytest.fixture
def lab(fleet: Fleet, site: Site) -> Lab:
    return Lab(fleet, site)


def refused(machine: Machine, code: str = "untrusted_file") -> str:
    """A sync is refused; nothing has changed and nothing is left behind. The message."""
    before, problems = machine.state(), machine.problems()
    kept = sorted(path.name for path in machine.cache.iterdir())
    done = agent.run(machine, "sync", "--json").refused(5 if code == "mirror_failed" else 3)
    assert done.last["code"] == code, done
    assert machine.state() == before and machine.problems() == problems
    assert sorted(path.name for path in machine.cache.iterdir()) == kept
    assert not (agent.state_dir(machine) / "downloads").exists()
    assert not (agent.state_dir(machine) / "private-databases").exists()
    return str(done.last["message"])


def test_package_that_the_own_mirror_has_but_the_older_database_has_not_is_synced(lab: Lab) -> None:
    lab.set_target()
    lab.move(NEW)
    database = lab.one.dbpath / "sync" / "core.db"
    before = database.read_bytes()
    agent.run(lab.one, "sync").ok()
    assert lab.one.state() == lab.two.state()
    assert database.read_bytes() == before, "the machine's own database is its own"


def test_package_that_only_another_machines_mirror_has_needs_the_own_configuration(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.set_target()
    message = refused(lab.one)
    assert "tool 2-1" in message
    [operation, *_] = lab.site.operations(lab.names[0])
    assert operation["result"]["code"] == "untrusted_file"
    lab.one.agent_config("trust_target_files = yes")
    # The file of another machine's disk counts for nothing even then; the same mirror by HTTP does.
    assert "tool 2-1" in refused(lab.one, "package_unavailable")
    content = lab.new[1].path.read_bytes()
    with Hostile(lambda peer: peer.answer(content)) as mirror:
        monkeypatch.setenv("http_proxy", mirror.url)  # an address of this machine itself would not be asked
        lab.two.configure("http://mirror.invalid")
        agent.run(lab.two, "set-latest", "--force").ok()
        agent.run(lab.one, "sync").ok()
    assert lab.one.state() == lab.two.state()


def test_bytes_of_another_endpoint_are_never_installed(lab: Lab) -> None:
    """The worst case: same name, same version, other bytes, other file name, a target set by that endpoint."""
    lab.evil()
    lab.set_target()
    refused(lab.one)
    lab.move(NEW)
    agent.run(lab.one, "sync").ok()
    assert lab.one.file("usr/share/tool/version") == b"2-1"


def test_automatic_sync_installs_no_bytes_of_another_endpoint(fleet: Fleet, site: Site) -> None:
    lab = Lab(fleet, site, auto_sync=True)
    agent.run(lab.one, "once").ok()
    lab.evil()
    lab.set_target()
    before = lab.one.state()
    for _ in range(3):
        agent.run(lab.one, "once", "--json")
    assert lab.one.state() == before and lab.one.file("usr/share/tool/version") == b"1-1"
    results = [operation["result"] for operation in site.operations(lab.names[0])]
    assert results and {result["code"] for result in results} == {"untrusted_file"}


def test_mirror_that_sends_what_the_target_says_instead_of_what_its_database_says(lab: Lab) -> None:
    """The mirror has been fooled or taken over, its database has not."""
    package = lab.evil()
    lab.set_target()
    lab.move(NEW)
    link = lab.fleet.archive / "repos" / NEW / "core/os/x86_64" / package.path.name
    link.unlink()
    link.write_bytes(package.path.read_bytes())
    message = refused(lab.one, "mirror_failed")
    assert "larger than declared" in message or "its checksum isn't the one that core says" in message


def test_rebuilt_under_the_same_version_the_machines_own_database_decides(lab: Lab) -> None:
    rebuilt = lab.fleet.package("tool", "2-1", files={"usr/share/tool/version": b"rebuilt"})
    lab.set_target()  # with the checksum of the first build
    (lab.fleet.archive / "repos" / NEW / "core/os/x86_64" / rebuilt.path.name).unlink()
    lab.fleet.snapshot(NEW, [lab.old[0], rebuilt])
    lab.move(NEW)
    lab.one.pacman("-Syy")
    agent.run(lab.one, "sync").ok()
    assert lab.one.file("usr/share/tool/version") == b"rebuilt"
    # Rebuilt once more; the machine's database is older than its mirror now.
    agent.run(lab.one, "revert").ok()
    lab.one.empty_cache()
    again = lab.fleet.package("tool", "2-1", files={"usr/share/tool/version": b"rebuilt again"})
    lab.fleet.snapshot(NEW, [lab.old[0], again])
    agent.run(lab.one, "sync").ok()
    assert lab.one.file("usr/share/tool/version") == b"rebuilt again"


@pytest.mark.parametrize("known", [True, False])
def test_old_build_in_the_own_cache_brings_the_machine_back(lab: Lab, known: bool) -> None:
    """Reverting to a version that no mirror has any more, and that the database knows by another build.

    It counts because the machine's own database vouched for it at the enrolment; else it might be anything.
    """
    lab.set_target()
    if not known:
        (agent.state_dir(lab.one) / "accepted.json").unlink()
    rebuilt = lab.fleet.package("tool", "1-1", files={"usr/share/tool/version": b"1-1 rebuilt"})
    lab.fleet.snapshot(REBUILT, [lab.old[0], rebuilt])
    lab.move(REBUILT)
    lab.one.pacman("-Syy")
    lab.move(NEW)
    agent.run(lab.one, "sync").ok()
    done = agent.run(lab.one, "revert", "--json")
    if known:
        assert "its file is known with another checksum" in done.ok().out
    else:
        assert done.refused(3).last["code"] == "package_unavailable"
    assert lab.one.file("usr/share/tool/version") == (b"1-1" if known else b"2-1")


def test_file_that_pacman_left_in_the_cache_unverified_is_not_installed(lab: Lab) -> None:
    """pacman verifies only when all files are there: a hostile mirror lets another one fail."""
    lab.set_target()
    other, name = lab.fleet.package("zzz", "1-1"), lab.new[1].path.name
    tool = dataclasses.replace(lab.new[1], lists={"depends": (other.name,)})
    directory = lab.fleet.snapshot(HOSTILE, [lab.old[0], tool, other]).parent
    (directory / other.path.name).unlink()
    (directory / name).unlink()
    evil = Fleet(lab.fleet.directory / "evil").package("tool", "2-1", files={"usr/share/tool/version": b"bad"})
    (directory / name).write_bytes(evil.path.read_bytes())
    lab.move(HOSTILE)
    assert "failed to retrieve some files" in lab.one.pacman("-Syyu", check=False)
    assert (lab.one.cache / name).read_bytes() == evil.path.read_bytes()
    assert "its checksum isn't the one that core says" in refused(lab.one, "mirror_failed")
    hint = str(agent.run(lab.one, "sync", "--json").last["hint"])
    assert "name another mirror" in hint and "Put the package file" not in hint  # the cache's file is replaced then
    lab.move(NEW)
    agent.run(lab.one, "sync").ok()
    assert lab.one.file("usr/share/tool/version") == b"2-1"


def test_file_of_the_cache_that_the_target_knows_by_another_checksum_is_not_installed(lab: Lab) -> None:
    """The machine's databases have moved on, so only the target says anything; the true file counts at once."""
    lab.set_target()
    lab.fleet.snapshot(HOSTILE, [lab.old[0], lab.fleet.package("tool", "3-1")])
    lab.move(HOSTILE)
    lab.one.pacman("-Syy")
    evil = Fleet(lab.fleet.directory / "evil").package("tool", "2-1", files={"usr/share/tool/version": b"bad"})
    cached = lab.one.cache / evil.path.name
    cached.write_bytes(evil.path.read_bytes())
    assert "The cache's file of tool 2-1 has another checksum than the target says." in refused(lab.one)
    cached.write_bytes(lab.new[1].path.read_bytes())
    agent.run(lab.one, "sync").ok()
    assert lab.one.file("usr/share/tool/version") == b"2-1"


@pytest.mark.parametrize("path", ["/etc/shadow", "/dev/zero", "FIFO"])
def test_path_that_another_endpoint_names_is_not_opened(lab: Lab, tmp_path: Path, path: str) -> None:
    """A mirror of the other endpoint that leads to a file of this machine; a FIFO would hold whoever opens it."""
    mirror = tmp_path / "trap"
    mirror.mkdir()
    trap = mirror / "tool-2-1-any.pkg.tar.zst"
    os.mkfifo(trap) if path == "FIFO" else trap.symlink_to(path)
    lab.two.configure(f"file://{mirror}")
    lab.set_target()
    lab.one.agent_config("trust_target_files = yes")
    message = refused(lab.one, "package_unavailable")
    assert "mirrors of this machine" in message and "Permission" not in message


def test_credentials_of_mirrors_stay_on_the_machine(lab: Lab) -> None:
    database = (lab.fleet.archive / "repos" / NEW / "core/os/x86_64/core.db").read_bytes()
    content = {f"/{name}": data for name, data in (("core.db", database), (lab.new[1].path.name, b""))}
    content[f"/{lab.new[1].path.name}"] = lab.new[1].path.read_bytes()

    def answer(peer: Peer) -> None:
        if peer.headers.get("authorization") != "Basic bWU6czNjcmV0":
            peer.answer(status="401 Unauthorized", WWW_Authenticate='Basic realm="x"')
        elif peer.path in content:
            peer.answer(content[peer.path])
        else:
            peer.answer(status="404 Not Found")

    with Hostile(answer) as mirror:
        lab.set_target()
        lab.one.configure(f"http://me:s3cret@{mirror.host}")
        done = agent.run(lab.one, "sync", "--json").ok()
        assert lab.one.state() == lab.two.state() and "s3cret" not in done.out + done.err
        del content[f"/{lab.new[1].path.name}"]
        agent.run(lab.one, "revert").ok()
        lab.one.empty_cache()
        message = refused(lab.one, "package_unavailable")
        assert mirror.host in message and "s3cret" not in message and "me:" not in message
    known = lab.site.call("GET", f"/endpoints/{lab.names[0]}")
    assert "s3cret" not in json.dumps(known) and f"http://{mirror.host}" in json.dumps(known)
    assert "s3cret" not in json.dumps(lab.site.operations(lab.names[0]))
    assert "s3cret" not in (agent.state_dir(lab.one) / "status.json").read_text()


# What signed the package of the target, as the machine knows that key, and the code; none: it is installed.
SIGNED = {
    "good": None,
    "untrusted, but TrustAll": None,
    "expired": "signature_invalid",
    "revoked": "signature_invalid",
    "unknown": "signature_invalid",
    "untrusted": "signature_invalid",
    "nobody": "signature_missing",
}


@pytest.mark.needs("gpg")
@pytest.mark.parametrize("signer", SIGNED)
def test_repository_that_requires_signatures(fleet: Fleet, site: Site, signer: str) -> None:
    """Nothing stands in for the signature: neither the database's checksum nor `trust_target_files`."""
    code = SIGNED[signer]
    lab = Lab(fleet, site, options="SigLevel = Never")
    lab.set_target()
    lab.move(NEW)
    level = f"Required DatabaseNever {'TrustAll' if 'TrustAll' in signer else ''}"
    lab.one.configure(f"{fleet.base_url}/repos/current/$repo/os/$arch", f"SigLevel = {level}")
    lab.one.pacman("-Sy", check=False)
    lab.one.agent_config("trust_target_files = yes")
    packager, machine = Keys(fleet.directory / "packager"), Keys(lab.one.directory / "gnupg")
    if signer != "nobody":
        key = packager.make("packager", expired=signer == "expired")
        made = packager.sign(lab.new[1].path, key, when=SHORTLY_AFTER).read_bytes()
        if signer == "revoked":
            packager.revoke(key)
        if signer != "unknown":
            machine.learn(packager.export(key), *([] if "untrusted" in signer else [key]))
        mirror = fleet.archive / "repos" / NEW / "core/os/x86_64"
        (mirror / f"{lab.new[1].path.name}.sig").write_bytes(made)
    if code:
        refused(lab.one, code)
    else:
        agent.run(lab.one, "sync").ok()
        assert lab.one.state() == lab.two.state()
        assert (lab.one.cache / f"{lab.new[1].path.name}.sig").exists()
    packager.stop()
    machine.stop()


@pytest.mark.needs("gpg")
@pytest.mark.parametrize("signer", ["unknown", "other", "nobody"])
def test_database_that_pacman_refuses_vouches_for_no_file(fleet: Fleet, site: Site, signer: str) -> None:
    """The mirror is hostile; pacman refuses its database, and leaves it where a good one would be."""
    lab = Lab(fleet, site)
    packager, keys = Keys(fleet.directory / "packager"), Keys(lab.one.directory / "gnupg")
    key = packager.make("packager")
    keys.learn(packager.export(key), key)
    for day in (OLD, NEW):
        packager.sign(fleet.archive / "repos" / day / "core/os/x86_64/core.db", key)
    server = f"{fleet.base_url}/repos/current/$repo/os/$arch"
    lab.one.configure(server, "SigLevel = PackageOptional DatabaseRequired\nLocalFileSigLevel = Optional")
    lab.one.pacman("-Syy")
    hostile = fleet.snapshot(HOSTILE, [lab.old[0], lab.evil()])
    lab.set_target()
    agent.run(lab.one, "once", "--report-only").ok()
    own = lab.one.dbpath / "sync/core.db"
    if signer == "unknown":
        stranger = Keys(fleet.directory / "stranger")
        stranger.sign(hostile, stranger.make("stranger"))
        stranger.stop()
    elif signer == "other":
        hostile.with_name("core.db.sig").write_bytes(own.with_name("core.db.sig").read_bytes())
    lab.move(HOSTILE)
    assert "error: " in lab.one.pacman("-Syy", check=False)
    own.write_bytes(hostile.read_bytes())  # as pacman leaves it, or as it would be left by another version
    if signer == "nobody":
        own.with_name("core.db.sig").unlink(missing_ok=True)
    assert "core" in refused(lab.one, "databases_unreadable")
    problems = site.call("GET", f"/endpoints/{lab.names[0]}")["problems"]
    assert [(problem["code"], problem["names"]) for problem in problems] == [("database_unreadable", ["core"])]
    lab.move(NEW)  # the mirror is a good one again, the database in sync/ isn't
    agent.run(lab.one, "sync").ok()
    assert lab.one.file("usr/share/tool/version") == b"2-1"
    packager.stop()
    keys.stop()


class TwoRepositories:
    """`core` requires signatures; the unsigned `own`, of which endpoint two has its target, has a newer `tool`."""

    def __init__(self, fleet: Fleet, site: Site, *, own_first: bool = False, usage: str = "All") -> None:
        self.lab = Lab(fleet, site)
        self.package = self.lab.evil()
        theirs = fleet.directory / "evil/ala/repos" / NEW / "core/os/x86_64"
        (theirs / "own.db").write_bytes((theirs / "core.db").read_bytes())
        self.lab.set_target()
        packager, keys = Keys(fleet.directory / "packager"), Keys(self.lab.one.directory / "gnupg")
        key = packager.make("packager")
        keys.learn(packager.export(key), key)
        self.stop = [packager.stop, keys.stop]
        level = "SigLevel = Required DatabaseOptional\nLocalFileSigLevel = Optional"
        self.lab.one.configure(f"{fleet.base_url}/repos/current/$repo/os/$arch", level)
        options, _, core = self.lab.one.config.read_text().partition("[core]\n")
        own = f"[own]\nUsage = {usage}\nSigLevel = Never\nServer = file://{theirs}\n"
        core = f"[core]\n{core}"
        self.lab.one.config.write_text(options + (own + core if own_first else core + own))
        self.lab.one.pacman("-Syy")


@pytest.mark.needs("gpg")
@pytest.mark.parametrize("content", [None, b"garbage"])
@pytest.mark.parametrize("in_cache", [False, True])
def test_missing_database_of_a_signed_repository_switches_nothing_off(
    fleet: Fleet, site: Site, content: bytes | None, in_cache: bool
) -> None:
    """Its mirror is alive. An unsigned repository, which comes after it, has a newer package of the same name."""
    two = TwoRepositories(fleet, site)
    one = two.lab.one
    if in_cache:
        (one.cache / two.package.path.name).write_bytes(two.package.path.read_bytes())
    assert "tool 2-1" in refused(one, "signature_missing")
    database = one.dbpath / "sync/core.db"
    database.unlink()
    if content is not None:
        database.write_bytes(content)
    assert "tool 2-1" in refused(one, "signature_missing")
    for stop in two.stop:
        stop()


@pytest.mark.needs("gpg")
@pytest.mark.parametrize("usage", ["Search", "Sync Search"])
def test_repository_that_is_only_for_looking_gives_no_files(fleet: Fleet, site: Site, usage: str) -> None:
    """It comes first, and pacman itself takes nothing from it; the report and the examination don't know it either."""
    two = TwoRepositories(fleet, site, own_first=True, usage=usage)
    assert "tool 2-1" in refused(two.lab.one, "package_unavailable")
    known = site.call("GET", f"/endpoints/{two.lab.names[0]}")
    assert [one["name"] for one in known["repositories"]] == ["core"]
    assert known["problems"] == []
    for stop in two.stop:
        stop()


class Owner:
    """What private_databases.fetch needs of a machine."""

    def __init__(self, machine: Machine) -> None:
        self.conf = pacman_conf.read(machine.config, None, None)
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
