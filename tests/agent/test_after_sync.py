"""What is left to do after a sync: a reboot, services that run replaced code, units that have failed since."""

import os
from pathlib import Path

import pytest

from apps.agent.pacsync_agent.cli import render, waybar
from apps.agent.pacsync_agent.examination import after_sync
from apps.agent.pacsync_agent.system import replaced_files

CODE = "7f0000000000-7f0000001000 r-xp 00000000 08:01 1234   {}\n"
DATA = "7f0000000000-7f0000001000 r--p 00000000 08:01 1234   {}\n"
SLICE = "0::/system.slice/{}\n"


def process(proc: Path, number: int, cgroup: str, *maps: str) -> None:
    directory = proc / str(number)
    directory.mkdir(parents=True)
    (directory / "cgroup").write_text(cgroup)
    (directory / "maps").write_text("".join(maps))


@pytest.mark.parametrize(
    ("mapping", "found"),
    [
        (CODE.format("/usr/lib/libssl.so.3 (deleted)"), True),
        (CODE.format("/usr/bin/sshd (deleted)"), True),
        (CODE.format("/opt/app/lib with space.so (deleted)"), True),
        (CODE.format("/usr/lib/libssl.so.3"), False),
        (DATA.format("/usr/lib/libssl.so.3 (deleted)"), False),
        (CODE.format("/memfd:jit (deleted)"), False),
        (CODE.format("/tmp/plugin.so (deleted)"), False),
        (CODE.format("/dev/shm/usr/lib/x (deleted)"), False),
    ],
)
def test_service_runs_replaced_code_where_code_of_the_system_was_deleted(
    tmp_path: Path, mapping: str, found: bool
) -> None:
    process(tmp_path, 100, SLICE.format("sshd.service"), CODE.format("/usr/lib/libc.so.6"), mapping)
    assert replaced_files.units(tmp_path) == (["sshd.service"] if found else [])


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("0::/system.slice/sshd.service\n", "sshd.service"),
        ("0::/system.slice/system-getty.slice/getty@tty1.service\n", "getty@tty1.service"),
        ("12:pids:/x\n1:name=systemd:/system.slice/cron.service\n0::/\n", "cron.service"),
        ("0::/system.slice/cups.service/workers\n", "cups.service"),
        ("0::/user.slice/user-1000.slice/session-1.scope\n", None),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/app.service\n", None),
        ("0::/system.slice/docker-0123.scope\n", None),
        ("0::/machine.slice/systemd-nspawn@box.service/payload/system.slice/sshd.service\n", None),
        ("0::/\n", None),
        ("", None),
    ],
)
def test_unit_of_a_process_is_the_system_service_that_it_belongs_to(
    tmp_path: Path, cgroup: str, unit: str | None
) -> None:
    process(tmp_path, 100, cgroup, CODE.format("/usr/lib/libc.so.6 (deleted)"))
    assert replaced_files.units(tmp_path) == ([unit] if unit else [])


def test_processes_that_have_ended_and_the_real_ones_are_no_error(tmp_path: Path) -> None:
    (tmp_path / "100").mkdir()
    assert replaced_files.units(tmp_path) == []
    assert all(unit.endswith(".service") for unit in replaced_files.units())


def test_kernel_is_missing_where_only_the_modules_of_another_one_are_there(tmp_path: Path) -> None:
    modules = tmp_path / "usr/lib/modules"
    assert after_sync.missing_kernel(tmp_path) is None  # no kernel is installed, as in a container
    modules.mkdir(parents=True)
    assert after_sync.missing_kernel(tmp_path) is None
    (modules / "6.18.2-arch1-1").mkdir()
    assert after_sync.missing_kernel(tmp_path, "6.18.1-arch1-1") == "6.18.1-arch1-1"
    assert after_sync.missing_kernel(tmp_path, "6.18.2-arch1-1") is None


def test_another_root_has_nothing_to_say_about_this_system(tmp_path: Path) -> None:
    (tmp_path / "root/usr/lib/modules/other").mkdir(parents=True)
    after_sync.note_before(tmp_path, tmp_path / "root")
    after_sync.look(tmp_path, tmp_path / "root")
    assert after_sync.problems(tmp_path, tmp_path / "root") == []
    assert os.listdir(tmp_path) == ["root"]


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The system at work, with these `failed` units and `outdated` services. Only a booted systemd has real ones."""
    found: dict[str, list[str]] = {"failed": [], "outdated": []}
    monkeypatch.setattr(after_sync, "_is_running_system", lambda root: True)
    monkeypatch.setattr(after_sync, "_failed_units", lambda: found["failed"])
    monkeypatch.setattr(replaced_files, "units", lambda: found["outdated"])
    return found


def said(directory: Path) -> dict[str, list[str]]:
    return {problem["code"]: problem["names"] for problem in after_sync.problems(directory, directory)}


def test_units_that_failed_since_are_named_until_they_are_well(tmp_path: Path, running: dict[str, list[str]]) -> None:
    running["failed"] = ["old.service"]
    assert said(tmp_path) == {}  # never synced
    after_sync.note_before(tmp_path, tmp_path)
    after_sync.look(tmp_path, tmp_path)
    assert said(tmp_path) == {}
    running["failed"] = ["new.service", "old.service"]
    assert said(tmp_path) == {"units_failed": ["new.service"]}
    running["failed"] = ["old.service"]
    assert said(tmp_path) == {}


def test_unit_that_fails_a_day_later_is_not_blamed_on_the_sync(
    tmp_path: Path, running: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    after_sync.note_before(tmp_path, tmp_path)
    running["failed"] = ["new.service"]
    assert said(tmp_path) == {"units_failed": ["new.service"]}
    monkeypatch.setattr(after_sync, "FOR", 0)
    assert said(tmp_path) == {}


def test_services_are_named_until_they_were_restarted(tmp_path: Path, running: dict[str, list[str]]) -> None:
    after_sync.note_before(tmp_path, tmp_path)
    running["outdated"] = ["a.service", "b.service"]
    assert said(tmp_path) == {}  # looked for only after a sync
    after_sync.look(tmp_path, tmp_path)
    assert said(tmp_path) == {"services_outdated": ["a.service", "b.service"]}
    running["outdated"] = ["b.service", "c.service"]
    assert said(tmp_path) == {"services_outdated": ["b.service"]}
    running["outdated"] = []
    assert said(tmp_path) == {}


def test_many_services_are_bounded(tmp_path: Path, running: dict[str, list[str]]) -> None:
    running["outdated"] = [f"{'x' * 300}-{number}.service" for number in range(150)]
    after_sync.look(tmp_path, tmp_path)
    [problem] = after_sync.problems(tmp_path, tmp_path)
    assert len(problem["names"]) == 100 and max(map(len, problem["names"])) <= 255
    assert len(problem["text"]) <= 1000 and "\n" not in problem["text"]


def test_status_and_waybar_say_what_is_left_to_do() -> None:
    problems = [{"code": "reboot_needed", "text": "A reboot is needed: x.", "names": ["6.1"]}]
    known = {"name": "m1", "status": "in_sync", "pool": "lab", "target": {"number": 3}, "problems": problems}
    assert render.status(known | {"server": "http://x"}).splitlines()[:2] == [
        "m1: in sync, reboot needed (pool lab, revision 3)",
        "  A reboot is needed: x.",
    ]
    shown = waybar.status(known)
    assert (shown["text"], shown["class"]) == ("↺", "in-sync") and "reboot needed" in shown["tooltip"]
    assert waybar.status(known | {"problems": []})["text"] == "✓"
