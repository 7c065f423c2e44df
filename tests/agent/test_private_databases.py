"""The private fetch of sync databases: real pacman, mirrors and signatures; the machine's own stay as they are."""

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from apps.agent.pacsync_agent.databases import private_databases
from tests.agent.private_fetches import NEW, OLD, Files, files_of, old_machine, point_to, versions
from tests.support.pacman import Machine

pytestmark = pytest.mark.needs("pacman")
NOBODY = "http://127.0.0.1:9/$repo"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return old_machine(tmp_path)


def kept(files: Files) -> list[Path]:
    """The databases and signatures that lie in the agent's directory."""
    return list(private_databases.directory_of(files.state_dir).glob("*/sync/*"))


def test_fetch_gives_the_mirrors_current_database_and_leaves_the_machines_own(machine: Machine) -> None:
    point_to(machine, NEW)
    own = machine.dbpath / "sync/core.db"
    before = (own.read_bytes(), own.stat().st_mtime_ns, sorted(machine.dbpath.rglob("*")))
    found = private_databases.fetch(files_of(machine), ["core"])
    assert (versions(found), found.reasons) == ({"app": "2-1", "new": "1-1"}, {})
    assert (own.read_bytes(), own.stat().st_mtime_ns, sorted(machine.dbpath.rglob("*"))) == before


def test_fetch_while_another_pacman_holds_the_machines_lock_works(machine: Machine) -> None:
    (machine.dbpath / "db.lck").touch()
    assert versions(private_databases.fetch(files_of(machine), ["core"])) == {"app": "1-1"}
    assert (machine.dbpath / "db.lck").exists()


def test_fetch_mirror_went_back_to_an_older_day_is_taken_too(machine: Machine) -> None:
    """pacman asks with If-Modified-Since, and an older database would be no change."""
    point_to(machine, NEW)
    private_databases.fetch(files_of(machine), ["core"])
    point_to(machine, OLD)
    assert versions(private_databases.fetch(files_of(machine), ["core"])) == {"app": "1-1"}


def test_fetch_mirror_that_is_a_link_was_moved_is_followed_both_ways(machine: Machine) -> None:
    """The address is the same, and the files are of the same second."""
    current = machine.fleet.archive / "repos/current"
    point_to(machine, "current")
    for day, version in ((NEW, "2-1"), (OLD, "1-1"), (NEW, "2-1")):
        current.unlink(missing_ok=True)
        current.symlink_to(machine.fleet.archive / "repos" / day)
        assert versions(private_databases.fetch(files_of(machine), ["core"]))["app"] == version


def test_fetch_failure_is_tried_again_sooner_than_a_success(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    files = files_of(machine)
    day = machine.fleet.archive / "repos" / OLD / "core/os/x86_64/core.db"
    content = day.read_bytes()
    day.unlink()
    assert private_databases.fetch(files, ["core"]).reasons
    day.write_bytes(content)
    now = time.time()
    monkeypatch.setattr(private_databases.time, "time", lambda: now + 1000)
    assert private_databases.fetch(files, ["core"], max_age=3600).readable
    day.unlink()
    monkeypatch.setattr(private_databases.time, "time", lambda: now + 3000)
    assert private_databases.fetch(files, ["core"], max_age=3600).readable


def test_fetch_one_of_two_repositories_has_no_mirror_the_other_is_read(machine: Machine) -> None:
    with machine.config.open("a") as config:
        config.write(f"[gone]\nServer = {NOBODY}\n[empty]\n")
    found = private_databases.fetch(files_of(machine), ["core", "gone", "empty", "unheard"])
    assert set(found.readable) == {"core"}
    assert sorted(found.reasons) == ["empty", "gone", "unheard"]
    assert found.reasons["gone"] == "no mirror gives a valid one" and found.reasons["empty"] == "it has no mirror"
    assert "pacman.conf" in found.reasons["unheard"]


def test_fetch_repository_that_pacman_does_not_sync_is_fetched(machine: Machine) -> None:
    with machine.config.open("a") as config:
        config.write("Usage = Install\n")
    assert versions(private_databases.fetch(files_of(machine), ["core"])) == {"app": "1-1"}


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b cut off"])
def test_fetch_database_that_is_no_database_has_a_reason_and_is_not_kept(machine: Machine, content: bytes) -> None:
    (machine.fleet.archive / "repos" / OLD / "core/os/x86_64/core.db").write_bytes(content)
    files = files_of(machine)
    found = private_databases.fetch(files, ["core"])
    assert not found.readable and found.reasons["core"]
    assert not kept(files)


def test_fetch_again_within_max_age_asks_nobody_also_after_a_failure(machine: Machine) -> None:
    files = files_of(machine)
    database = machine.fleet.archive / "repos" / OLD / "core/os/x86_64/core.db"
    content = database.read_bytes()
    database.unlink()
    assert private_databases.fetch(files, ["core"]).reasons
    database.write_bytes(content)
    assert private_databases.fetch(files, ["core"], max_age=600).reasons
    assert private_databases.fetch(files, ["core"]).readable
    database.unlink()
    assert private_databases.fetch(files, ["core"], max_age=600).readable
    assert private_databases.fetch(files, ["core"]).reasons


def sign(directory: Path, path: Path) -> None:
    subprocess.run(
        ["gpg", "--homedir", directory, "--batch", "--yes", "--detach-sign", path], check=True, capture_output=True
    )


@pytest.mark.needs("gpg", "pacman-key")
def test_fetch_database_must_be_signed_as_the_machines_siglevel_wants(machine: Machine) -> None:
    gnupg, database = machine.directory / "gnupg", machine.fleet.archive / "repos" / OLD / "core/os/x86_64/core.db"
    try:
        subprocess.run(["pacman-key", "--gpgdir", gnupg, "--init"], check=True, capture_output=True)
        machine.configure(
            f"{machine.fleet.base_url}/repos/{OLD}/$repo/os/$arch", "SigLevel = PackageNever DatabaseRequired"
        )
        files = files_of(machine)
        assert private_databases.fetch(files, ["core"]).reasons  # no signature at all
        sign(gnupg, database)
        assert versions(private_databases.fetch(files, ["core"])) == {"app": "1-1"}
        machine.fleet.snapshot(OLD, [machine.fleet.package("app", "9-1")])  # the signature of another content
        found = private_databases.fetch(files, ["core"])
        assert not found.readable and "core" in found.reasons
        assert not kept(files)
    finally:
        shutil.rmtree(gnupg, ignore_errors=True)
