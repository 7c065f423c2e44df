"""What pacman didn't write although it ended with 0: said with paths on the machine and on the server, and repaired."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import agent
from tests.support.mtree import with_mtree
from tests.support.pacman import Fleet, Machine
from tests.support.site import Site

pytestmark = pytest.mark.needs("pacman")
OLD, NEW = "2025/01/01", "2025/02/01"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="attributes and mounts need root")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    fleet = Fleet(tmp_path_factory.mktemp("fleet"))
    versions = []
    for number in ("1", "2"):
        # The same size and the same time: only the content tells them apart.
        files: dict[str, bytes | str] = {f"usr/lib/app/{n}": f"{n} of {number}".encode() for n in range(12)}
        app = fleet.package("app", f"{number}-1", files=with_mtree(files))
        modes = {"etc/sec/private": 0o755 if number == "1" else 0o700}
        private: dict[str, bytes | str] = {"etc/sec/private/key": f"key {number}".encode()}
        sec = fleet.package("sec", f"{number}-1", files=with_mtree(private, modes), modes=modes)
        versions.append((app, sec))
    gone = fleet.package("gone", "1-1")
    fleet.snapshot(OLD, [*versions[0], gone])
    fleet.snapshot(NEW, [*versions[1], gone])
    return fleet


def pair(fleet: Fleet, tmp_path: Path, site: Site, *names: str) -> tuple[Machine, str]:
    """A machine with these packages of OLD, whose pool's target has those of NEW without `gone`; its name."""
    mine = fleet.beside(tmp_path)
    one, two = mine.machine("m1", OLD), mine.machine("m2", NEW)
    one.install(*names)
    two.install(*(name for name in names if name != "gone"))
    name, _ = site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    return one, name


def chattr(change: str, *paths: Path) -> None:
    if subprocess.run(["chattr", change, *paths], capture_output=True).returncode:
        pytest.skip("this file system has no attributes")


@needs_root
def test_sync_file_that_pacman_could_not_replace_fails_and_is_repaired(
    fleet: Fleet, tmp_path: Path, site: Site
) -> None:
    one, name = pair(fleet, tmp_path, site, "app")
    stuck = one.root / "usr/lib/app/7"
    chattr("+i", stuck)
    try:
        failed = agent.run(one, "sync").refused(1)
    finally:
        chattr("-i", stuck)
    assert stuck.read_bytes() == b"7 of 1" and one.state()["app"][0] == "2-1"
    assert "1 file is not the packages'" in failed.err and f"{stuck} (another content)" in failed.err
    operation = site.operations(name)[0]
    assert (operation["status"], operation["result"]["code"]) == ("failed", "files_differ")
    assert str(stuck) in operation["result"]["message"]
    assert ", files differ" in agent.run(one, "status").ok().out
    assert "files differ" in agent.run(one, "once").ok().out
    assert str(stuck) in agent.run(one, "sync").ok().out  # nothing to do, but not a plain "in sync"
    done = agent.run(one, "sync", "--repair").ok()
    assert "Repaired" in done.out, done
    assert one.altered() == []
    assert "files differ" not in agent.run(one, "status").ok().out
    assert "Reverted" in agent.run(one, "revert").ok().out
    assert one.state()["app"][0] == "1-1"


@needs_root
def test_sync_on_a_read_only_usr_is_refused_before_anything_is_changed(
    fleet: Fleet, tmp_path: Path, site: Site
) -> None:
    one, name = pair(fleet, tmp_path, site, "app")
    command = f'mount --bind {one.root}/usr {one.root}/usr && mount -o remount,ro,bind {one.root}/usr && exec "$@"'
    words = [sys.executable, str(agent.agent_path()), "sync", "--config", str(one.config)]
    failed = agent.Done(
        subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", command, "sh", *words],
            capture_output=True,
            text=True,
        )
    ).refused(3)
    assert f"{one.root}/usr is mounted read-only, and app has files there. Nothing was changed." in failed.err
    assert one.state()["app"][0] == "1-1"
    assert site.operations(name)[0]["status"] == "failed"


@needs_root
def test_sync_files_that_pacman_did_not_remove_are_named_until_they_are_gone(
    fleet: Fleet, tmp_path: Path, site: Site
) -> None:
    one, name = pair(fleet, tmp_path, site, "app", "gone")
    stuck = one.root / "usr/share/gone/version"
    chattr("+i", stuck)
    try:
        agent.run_killed_at(one, "pacman:ended", "sync")  # what was noted is there for the next start
        failed = agent.run(one, "sync").refused(1)
        assert f"{stuck} (left by an old version)" in failed.err
        assert str(stuck) in agent.run(one, "sync", "--repair").refused(1).err
    finally:
        chattr("-i", stuck)
    operation = site.operations(name)[0]
    assert (operation["status"], operation["result"]["code"]) == ("failed", "files_differ")
    assert str(stuck) in operation["result"]["message"]
    assert ", files differ" in agent.run(one, "status").ok().out
    (beside := stuck.with_name("mine")).write_text("mine")
    assert f"gone: {stuck} (left by" in agent.run(one, "verify").refused(10).out
    assert f"Removed what old versions had left: {stuck}" in agent.run(one, "sync", "--repair").ok().out
    assert not stuck.exists() and beside.exists()
    assert "All files are" in agent.run(one, "verify").ok().out
    assert "files differ" not in agent.run(one, "status").ok().out
    assert not (agent.state_dir(one) / "leftovers.json").exists()


def test_sync_directory_with_another_mode_is_a_warning_on_both_sides(fleet: Fleet, tmp_path: Path, site: Site) -> None:
    one, name = pair(fleet, tmp_path, site, "sec")
    done = agent.run(one, "sync").ok()
    assert "etc/sec/private (mode 0755 instead of 0700)" in done.out and ", with warnings" in done.out
    assert "mode 0755 instead of 0700" in site.operations(name)[0]["result"]["message"]
    assert "mode 0755 instead of 0700" in agent.run(one, "status").ok().out
    (one.root / "etc/sec/private").chmod(0o700)
    assert "All files are" in agent.run(one, "verify").ok().out
    assert "mode 0755" not in agent.run(one, "status").ok().out


def test_verify_and_repair_of_a_machine_whose_set_is_equal(fleet: Fleet, tmp_path: Path, site: Site) -> None:
    one, name = pair(fleet, tmp_path, site, "app", "sec")
    assert agent.run(one, "sync").code == 0
    assert "All files are as" not in agent.run(one, "verify").ok().out  # the mode is said, and is no difference
    (one.root / "usr/lib/app/3").unlink()
    (one.root / "usr/lib/app/4").write_bytes(b"")
    found = agent.run(one, "verify", "--json").refused(10).last
    assert (found["differ"], found["modes"], found["reported"]) == (2, 1, True)
    assert {one["why"] for one in found["findings"]} == {"missing", "empty", "mode 0755 instead of 0700"}
    endpoint = site.call("GET", f"/endpoints/{name}")
    assert [problem["code"] for problem in endpoint["problems"]] == ["files_differ", "modes_differ"]
    latest = agent.run(one, "set-latest").ok()
    assert "Files differ from their packages" in latest.out
    assert "Repaired" in agent.run(one, "sync", "--repair").ok().out
    assert not (agent.state_dir(one) / "rehearsal").exists()
    assert [line for line in one.altered() if "usr/lib/app" in line] == []
    endpoint = site.call("GET", f"/endpoints/{name}")
    assert [problem["code"] for problem in endpoint["problems"]] == ["modes_differ"]


def test_repair_of_emptied_entries_and_files_as_a_power_cut_left_them(fleet: Fleet, tmp_path: Path, site: Site) -> None:
    one, _ = pair(fleet, tmp_path, site, "app", "sec")
    agent.run(one, "sync").ok()
    before = one.state()
    for path in (
        *one.root.glob("usr/lib/app/*"),
        *one.dbpath.glob("local/app-2-1/*"),
        one.root / "etc/sec/private/key",
    ):
        path.write_bytes(b"")
    agent.run(one, "sync", "--repair").ok()
    assert one.state() == before
    assert [line for line in one.altered() if "etc/sec/private " not in line] == []


def test_repair_of_an_emptied_desc_gives_the_whole_entry_back(tmp_path: Path, site: Site) -> None:
    """Completed alone, the entry would have no dependencies: `pacman -Qdt` would take `lib` for an orphan."""
    fleet = Fleet(tmp_path)
    files = with_mtree({"usr/lib/tool/one": b"one", "etc/tool.conf": b"setting"})
    tool = fleet.package("tool", "1-1", files=files, depends=["lib"], groups=["g"], backup=["etc/tool.conf"])
    fleet.snapshot(OLD, [tool, fleet.package("lib", "1-1")])
    one = fleet.machine("m1", OLD)
    one.install("tool", "lib", asdeps=["lib"])
    (one.root / "etc/tool.conf").write_text("mine")
    site.enroll(site.pool(), one)
    agent.run(one, "set-latest").ok()
    entry = one.dbpath / "local/tool-1-1"

    def known() -> tuple[str, bytes]:
        info = one.pacman("-Qi", "tool").splitlines()
        varying = ("Install Date", "Validated By")
        return "\n".join(line for line in info if not line.startswith(varying)), (entry / "files").read_bytes()

    before = known()
    (entry / "desc").write_bytes(b"")
    agent.run_killed_at(one, "sent:/checkin", "sync", "--repair")  # the entry is completed, and nothing more
    assert (entry / "files").read_bytes() == before[1]
    assert "its entry in pacman's database is incomplete" in agent.run(one, "verify").refused(10).out
    assert "Repaired" in agent.run(one, "sync", "--repair").ok().out
    assert known() == before and "lib" not in one.pacman("-Qdt", check=False)
    assert one.file("etc/tool.conf") == b"mine"
    assert "All files are" in agent.run(one, "sync", "--repair").ok().out


def test_repair_what_can_be_had_is_repaired_and_the_rest_is_named(fleet: Fleet, tmp_path: Path, site: Site) -> None:
    one, _ = pair(fleet, tmp_path, site, "app", "sec")
    agent.run(one, "sync").ok()
    own = fleet.beside(tmp_path / "own")
    own.archive, own.pool = tmp_path / "own/ala", tmp_path / "own/pool"
    built = own.package("mine", "1-1", files=with_mtree({"usr/lib/mine/one": b"one"}))
    one.install_file(built)
    built.path.unlink()
    for path in ("usr/lib/app/3", "usr/lib/mine/one"):
        (one.root / path).unlink()
    done = agent.run(one, "sync", "--repair").refused(1)
    assert "mine 1-1" in done.err and "Repaired" in done.out
    assert one.file("usr/lib/app/3") == b"3 of 2" and one.file("usr/lib/mine/one") is None


def test_repair_directory_in_the_way_of_one_package_the_others_are_repaired(
    fleet: Fleet, tmp_path: Path, site: Site
) -> None:
    one, _ = pair(fleet, tmp_path, site, "app", "sec")
    agent.run(one, "sync").ok()
    taken = one.root / "usr/lib/app/3"
    taken.unlink()
    taken.mkdir()
    (taken / "mine").write_text("mine")
    (one.root / "etc/sec/private/key").unlink()
    done = agent.run(one, "sync", "--repair").refused(1)
    assert f"in the way: app. A directory is where package app has a file: {taken}." in done.err
    assert "Move that directory to another place" in done.err and "can't be had" not in done.err
    assert one.file("etc/sec/private/key") == b"key 2" and (taken / "mine").exists()
    taken.rename(tmp_path / "away")
    agent.run(one, "sync", "--repair").ok()
    assert one.file("usr/lib/app/3") == b"3 of 2"


@pytest.mark.parametrize("point", ["enter:apply", "pacman:ended", "enter:settle", "enter:report"])
def test_repair_killed_at_a_step_is_finished_by_the_next_start(
    fleet: Fleet, tmp_path: Path, site: Site, point: str
) -> None:
    one, _ = pair(fleet, tmp_path, site, "app", "sec")
    agent.run(one, "sync").ok()
    (one.root / "usr/lib/app/3").unlink()
    agent.run_killed_at(one, point, "sync", "--repair")
    agent.run(one, "once").ok()
    assert one.file("usr/lib/app/3") == b"3 of 2"
    assert not (agent.state_dir(one) / "journal.json").exists()
    assert "files differ" not in agent.run(one, "status").ok().out
