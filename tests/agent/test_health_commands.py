"""The machine's health commands: which run, within which limits, and what is kept of them. With real processes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from apps.agent.pacsync_agent.health_commands import checking, command_files, command_process, health_record
from apps.agent.pacsync_agent.health_commands.checking import HealthReport
from apps.agent.pacsync_agent.health_commands.command_process import KEPT, LINES, CommandResult
from apps.agent.pacsync_agent.health_commands.health_settings import HealthSettings
from tests.support.wait import until

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the commands have to belong to root")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / command_files.DIRECTORY
    made.mkdir(parents=True)
    return made


def command(directory: Path, name: str, script: str = "exit 0", mode: int = 0o755) -> Path:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(mode)
    return path


def run(path: Path, *, seconds: float = 60) -> CommandResult:
    """On the machine that the tests run on: the test's own root has no shell."""
    return command_process.run(path, Path("/"), seconds=seconds, limit=f"{seconds:.0f} s", is_to_stop=lambda: False)


def is_alive(pid: int) -> bool:
    """Whether the process is there, and not just waiting for somebody to ask how it ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def pid_in(path: Path) -> int:
    until(lambda: path.exists() and path.read_text().endswith("\n"), 30)
    return int(path.read_text())


def test_commands_are_found_in_the_order_of_their_names(directory: Path, tmp_path: Path) -> None:
    for name in ("20-dns", "10-nginx", "5-last"):
        command(directory, name)
    for name in (".gitkeep", "10-nginx~", "10-nginx.pacnew", "10-nginx.pacsave"):
        command(directory, name)
    found = command_files.find(tmp_path)
    assert [path.name for path in found.commands] == ["10-nginx", "20-dns", "5-last"]
    assert found.ignored == ()


def test_machine_without_the_directory_has_no_commands(tmp_path: Path) -> None:
    assert command_files.find(tmp_path) == command_files.CommandFiles()


def test_what_others_could_change_is_not_run_and_named_with_the_reason(directory: Path, tmp_path: Path) -> None:
    command(directory, "a-by-group", mode=0o775)
    command(directory, "b-by-all", mode=0o757)
    command(directory, "c-plain", mode=0o644)
    os.chown(command(directory, "d-of-a-user"), 1000, 0)
    (directory / "e-link").symlink_to(command(tmp_path, "elsewhere"))
    (directory / "f-directory").mkdir()
    command(directory, "g-good")
    found = command_files.find(tmp_path)
    assert [path.name for path in found.commands] == ["g-good"]
    assert found.ignored == (
        "health command a-by-group wasn't run: it can be changed by others than root",
        "health command b-by-all wasn't run: it can be changed by others than root",
        "health command c-plain wasn't run: it is not executable",
        "health command d-of-a-user wasn't run: it doesn't belong to root",
        "health command e-link wasn't run: it is not a regular file",
        "health command f-directory wasn't run: it is not a regular file",
    )


@pytest.mark.parametrize("place", ["etc/pacsync-agent.d", "etc/pacsync-agent.d/health"])
def test_directory_that_others_can_change_has_no_commands(directory: Path, tmp_path: Path, place: str) -> None:
    command(directory, "good")
    (tmp_path / place).chmod(0o777)
    found = command_files.find(tmp_path)
    assert found.commands == ()
    assert found.ignored == (f"no health command was run: /{place} can be changed by others than root",)


def test_directory_that_is_a_link_has_no_commands(directory: Path, tmp_path: Path) -> None:
    command(directory, "good")
    directory.rename(tmp_path / "elsewhere")
    directory.symlink_to(tmp_path / "elsewhere")
    assert command_files.find(tmp_path).ignored == (
        "no health command was run: /etc/pacsync-agent.d/health is not a directory",
    )


def test_exit_status_and_output_are_kept(directory: Path) -> None:
    assert run(command(directory, "good", "echo fine")) == CommandResult("good", 0, "", "fine")
    bad = run(command(directory, "bad", "echo first; echo second >&2; exit 3"))
    assert bad == CommandResult("bad", 3, "ended with status 3", "first\nsecond")
    killed = run(command(directory, "killed", "kill -SEGV $$"))
    assert (killed.status, killed.why) == (None, "was killed by signal 11")


def test_command_without_its_interpreter_fails_with_the_reason(directory: Path) -> None:
    path = directory / "odd"
    path.write_text("#!/nowhere/sh\n")
    path.chmod(0o755)
    result = run(path)
    assert result.status in (126, 127) and "not found" in result.output, result


def test_hanging_command_is_killed_with_its_children_at_the_limit(directory: Path, tmp_path: Path) -> None:
    child = tmp_path / "child"
    script = f"trap '' TERM INT HUP\nsleep 1000 & echo $! >{child}.new; mv {child}.new {child}; echo waits; wait"
    result = run(command(directory, "hangs", script), seconds=1)
    assert result == CommandResult("hangs", None, "didn't end within 1 s", "waits")
    until(lambda: not is_alive(pid_in(child)), 30)


def test_what_a_command_leaves_in_its_group_ends_with_it(directory: Path, tmp_path: Path) -> None:
    child = tmp_path / "child"
    result = run(command(directory, "leaves", f"sleep 1000 & echo $! >{child}"))
    assert result.passed
    until(lambda: not is_alive(pid_in(child)), 30)


def test_daemon_of_a_command_is_not_waited_for_and_goes_on(directory: Path, tmp_path: Path) -> None:
    """It has a session of its own, and the command's output open."""
    child = tmp_path / "child"
    script = f"setsid sh -c 'echo $$ >{child}; exec sleep 1000' &\nwhile ! [ -s {child} ]; do sleep 0.01; done; echo up"
    result = run(command(directory, "daemon", script))
    pid = pid_in(child)
    try:
        assert (result.passed, result.output) == (True, "up")
        assert is_alive(pid)
    finally:
        os.kill(pid, signal.SIGKILL)


def test_daemon_that_writes_for_ever_does_not_keep_the_agent(directory: Path, tmp_path: Path) -> None:
    child = tmp_path / "child"
    script = f"setsid sh -c 'echo $$ >{child}; exec yes' &\nwhile ! [ -s {child} ]; do sleep 0.01; done"
    assert run(command(directory, "daemon", script)).passed
    until(lambda: not is_alive(pid_in(child)), 30)  # nobody reads what it writes


def test_only_the_end_of_a_long_output_is_kept(directory: Path) -> None:
    result = run(command(directory, "much", "seq 1 200000; exit 1"))
    lines = result.output.splitlines()
    assert lines == [str(number) for number in range(200_001 - LINES, 200_001)]
    endless = run(command(directory, "endless", "exec yes"), seconds=1)
    assert endless.output.splitlines() == ["y"] * LINES
    line = run(command(directory, "line", "head -c 3000000 /dev/zero | tr '\\0' x; exit 1"))
    assert 0 < len(line.output) <= KEPT


def test_output_is_made_printable(directory: Path) -> None:
    result = run(command(directory, "odd", r"printf 'a\033[31mb\377\n'; exit 1"))
    assert result.output == "a?[31mb\ufffd"


def test_command_reads_nothing_and_has_no_descriptor_of_the_agent(directory: Path) -> None:
    result = run(command(directory, "input", "cat; ls /proc/self/fd"))
    assert result.output.split() == ["0", "1", "2", "3"]  # the last one is the directory that ls reads


def test_command_ends_with_an_agent_that_is_killed(directory: Path, tmp_path: Path) -> None:
    started = tmp_path / "started"
    path = command(directory, "long", f"echo $$ >{started}.new; mv {started}.new {started}; sleep 1000")
    program = (
        "import pathlib, sys; from apps.agent.pacsync_agent.health_commands import command_process as c; "
        "c.run(pathlib.Path(sys.argv[1]), pathlib.Path('/'), seconds=900, limit='', is_to_stop=lambda: False)"
    )
    agent = subprocess.Popen([sys.executable, "-c", program, str(path)], cwd=ROOT)
    try:
        pid = pid_in(started)
        agent.kill()
        agent.wait()
        until(lambda: not is_alive(pid), 30)
    finally:
        agent.kill()


def test_stop_kills_the_command(directory: Path, tmp_path: Path) -> None:
    started = tmp_path / "started"
    path = command(directory, "long", f"echo $$ >{started}.new; mv {started}.new {started}; sleep 1000")
    with pytest.raises(command_process.Stopped):
        command_process.run(path, Path("/"), seconds=900, limit="", is_to_stop=started.exists)
    until(lambda: not is_alive(pid_in(started)), 30)


def checked(directory: Path, settings: HealthSettings) -> HealthReport:
    found = command_files.CommandFiles(tuple(sorted(directory.iterdir())))
    return checking.check(found, Path("/"), settings, is_to_stop=lambda: False)


def test_all_commands_run_also_after_one_that_fails(directory: Path) -> None:
    command(directory, "10-bad", "echo oh; exit 1")
    command(directory, "20-good")
    command(directory, "30-bad", "echo no; exit 2")
    report = checked(directory, HealthSettings())
    assert [result.status for result in report.results] == [1, 0, 2]
    assert report.cause == "2 health commands failed: 10-bad ended with status 1, 30-bad ended with status 2"
    assert report.details == "10-bad: oh\n30-bad: no"
    assert report.log == (
        "oh\n[health command 10-bad ended with status 1]\n"
        "[health command 20-good passed]\n"
        "no\n[health command 30-bad ended with status 2]\n"
    )


def test_all_together_have_a_limit_and_what_is_left_is_not_run(directory: Path, tmp_path: Path) -> None:
    for name in ("1-long", "2-longer"):
        command(directory, name, "sleep 1000")
    command(directory, "3-never", f"touch {tmp_path / 'ran'}")
    report = checked(directory, HealthSettings(timeout=1, total_timeout=2))
    whole = "within the 2 s that all have together"
    why = [result.why for result in report.results]
    assert why == ["didn't end within 1 s", f"didn't end {whole}", f"wasn't run {whole}"]
    assert not (tmp_path / "ran").exists()


def test_record_has_what_failed_until_all_pass(tmp_path: Path) -> None:
    bad, good = CommandResult("10-bad", 1, "ended with status 1"), CommandResult("20-good", 0, "")
    health_record.keep(tmp_path, HealthReport((good,)))
    assert health_record.problems(tmp_path) == [] and list(tmp_path.iterdir()) == []
    health_record.keep(tmp_path, HealthReport((bad, good)))
    (problem,) = health_record.problems(tmp_path)
    assert (problem["code"], problem["names"]) == ("health_check_failed", ["10-bad"])
    assert problem["text"] == "When its health commands ran last, these failed: 10-bad."
    health_record.keep(tmp_path, HealthReport((good,)))
    assert health_record.problems(tmp_path) == []


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"failed": 3}'])
def test_record_that_is_damaged_says_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "health.json").write_text(content)
    assert health_record.problems(tmp_path) == []
