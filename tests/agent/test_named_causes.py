"""Failures name their cause: the hook, the package of a scriptlet, the path in the cache, the room that is needed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from apps.agent.pacsync_agent import failed_commands, files, no_room, pacman_conf
from apps.agent.pacsync_agent.context import only_agent
from apps.agent.pacsync_agent.errors import Local, Refused
from apps.agent.pacsync_agent.machine import pacman_failed
from apps.agent.pacsync_agent.pacman import Run
from tests.support import direct
from tests.support.pacman import Fleet, Machine

pytestmark = [pytest.mark.needs("pacman"), pytest.mark.skipif(os.geteuid() != 0, reason="only root changes packages")]
DAY = "2025/01/01"
FAILS = "echo '(1/3) working'; echo cannot open the thing; exit 3"


def machine_with(fleet: Fleet, *, scriptlet: bool = False) -> Machine:
    old = fleet.package("tool", "1-1")
    content: dict[str, bytes | str] = {"usr/x": b"2"}
    if scriptlet:
        content[".INSTALL"] = f"post_upgrade() {{\n{FAILS}\n}}\n".encode()
    fleet.snapshot(DAY, [fleet.package("tool", "2-1", files=content)])
    made = fleet.machine("m", DAY, options=f"CacheDir = {fleet.pool}")
    made.pacman("-U", old.path)
    for name in ("bin", "dev", "etc", "tmp"):
        (made.root / name).mkdir(exist_ok=True)
    for name in ("bash", "sh"):
        shutil.copy("/bin/bash-static", made.root / "bin" / name)
    return made


def add_hook(machine: Machine, name: str, script: str, *, when: str = "PostTransaction", more: str = "") -> None:
    path = machine.root / f"{name}.sh"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    text = f"{direct.EVERYTHING}[Action]\nDescription = Doing {name}...\nWhen = {when}\nExec = /bin/sh /{path.name}\n"
    (machine.directory / "hooks" / f"{name}.hook").write_text(f"{text}{more}")


def upgrade(machine: Machine) -> tuple[Run, tuple[str, ...]]:
    agent = direct.agent_of(machine)
    run = agent.apply(agent.prepare(direct.packages({"tool": ("2-1", "explicit")}), held=()))
    assert run
    return run, agent.running.complaints(agent.conf)


def test_hook_that_fails_is_named_by_its_file_with_its_last_words(tmp_path: Path) -> None:
    machine = machine_with(Fleet(tmp_path))
    add_hook(machine, "10-good", "echo fine")
    add_hook(machine, "20-bad", f"echo 'installing it...'; {FAILS}")
    add_hook(machine, "30-silent", "exit 1")
    add_hook(machine, "40-good", "echo ok")
    run, complaints = upgrade(machine)
    assert run.status == 0
    bad, silent = complaints
    failed = "command failed to execute correctly: the hook"
    assert bad == f'{failed} 20-bad.hook (Doing 20-bad), which said "cannot open the thing"'
    assert silent.startswith(f"{failed} 30-silent.hook (Doing 30-silent)") and "open the thing" not in silent


def test_hook_that_refuses_the_transaction_is_named(tmp_path: Path) -> None:
    machine = machine_with(Fleet(tmp_path))
    add_hook(machine, "10-good", "echo fine", when="PreTransaction")
    add_hook(machine, "20-no", FAILS, when="PreTransaction", more="AbortOnFail\n")
    run, _ = upgrade(machine)
    assert run.status != 0 and machine.state()["tool"][0] == "1-1"
    conf = pacman_conf.read(machine.config, None, None)
    error = pacman_failed(run, conf, tmp_path, {"tool"})
    assert error.code == "pacman_failed"
    assert 'the hook 20-no.hook (Doing 20-no), which said "cannot open the thing"' in error.message


def test_scriptlet_that_fails_is_named_by_its_package(tmp_path: Path) -> None:
    machine = machine_with(Fleet(tmp_path), scriptlet=True)
    add_hook(machine, "10-good", "echo fine", when="PreTransaction")
    run, complaints = upgrade(machine)
    assert run.status == 0
    said = 'command failed to execute correctly: a scriptlet of tool, which said "cannot open the thing"'
    assert complaints == (said,)


def test_hook_without_its_name_in_the_log_has_its_description(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    fleet.snapshot(DAY, [])
    conf = pacman_conf.read(fleet.machine("m", DAY).config, None, None)
    said = ":: Running post-transaction hooks...\n(1/1) Doing it...\nerror: command failed to execute correctly\n"
    assert failed_commands.explained(said, conf).endswith('correctly: the hook "Doing it"\n')
    assert failed_commands.explained("error: x\n", conf) == "error: x\n"


def test_room_that_is_needed_is_said_and_nothing_else(tmp_path: Path) -> None:
    with pytest.raises(Refused) as error:
        no_room.check(tmp_path, size=1 << 60, count=0, what="it")
    assert "1.0 EiB are needed" in error.value.message or "GiB are needed" in error.value.message
    assert "0 inodes" not in error.value.message
    with pytest.raises(Refused, match=r"no room for it: [0-9]+ inodes are needed"):
        no_room.check(tmp_path, size=0, count=1 << 60, what="it")


@pytest.mark.parametrize("suffix", ["", ".sig"])
def test_directory_of_the_packages_name_in_the_cache_is_named(tmp_path: Path, suffix: str) -> None:
    fleet = Fleet(tmp_path)
    made = fleet.package("tool", "1-1")
    fleet.snapshot(DAY, [made])
    machine = fleet.machine("m", DAY)
    cache = machine.cache
    machine.pacman("-Sy")
    (cache / f"{made.path.name}{suffix}" / "x").mkdir(parents=True)
    with pytest.raises(Local) as error:
        direct.bring(machine, direct.packages({"tool": ("1-1", "explicit")}))
    path = cache / f"{made.path.name}{suffix}"
    assert error.value.code == "download_failed"
    assert error.value.message == f"Downloads can't be kept: {path}: Is a directory."
    path.rename(tmp_path / "aside")  # as the hint says
    assert f"Move {path} to another place" in error.value.hint
    direct.bring(machine, direct.packages({"tool": ("1-1", "explicit")}))
    assert machine.state() == {"tool": ("1-1", "explicit")}


def test_files_that_killed_processes_left_are_removed_by_the_next_start(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    others = [".journal.json.new", "journal.json", ".x.1.new", ".x.new"]
    gone = [f".journal.json.{ended.pid}.new", f".a.b.{os.getpid()}.new", f".x.{10**30}.new"]
    for name in (*others, *gone):
        (tmp_path / name).touch()
    with only_agent(tmp_path, wait=0):
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*others, "agent.lock"])
    files.write_json(tmp_path / "journal.json", {})
