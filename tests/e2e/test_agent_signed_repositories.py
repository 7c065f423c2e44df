"""Repositories that require signatures, with real pacman and keys: nothing stands in for a signature."""

import pytest

from tests.e2e.two_endpoints import HOSTILE, NEW, OLD, Lab, refused
from tests.support import agent
from tests.support.keys import SHORTLY_AFTER, Keys
from tests.support.pacman import Fleet
from tests.support.site import Site

pytestmark = pytest.mark.needs("pacman")

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
