"""Whose bytes a machine installs, with real pacman, signatures and server: an endpoint can't choose for another."""

import dataclasses
import json
import os
from pathlib import Path

import pytest

from tests.e2e.two_endpoints import HOSTILE, NEW, REBUILT, Lab, refused
from tests.support import agent
from tests.support.hostile import Hostile, Peer
from tests.support.pacman import Fleet
from tests.support.site import Site

pytestmark = pytest.mark.needs("pacman")


@pytest.fixture
def lab(fleet: Fleet, site: Site) -> Lab:
    return Lab(fleet, site)


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
