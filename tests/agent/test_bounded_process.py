"""Programs that fetch something end with the agent, however it ends: with its time, a signal, or kill -9."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from apps.agent.pacsync_agent.errors import Interrupted
from apps.agent.pacsync_agent.pacman import bounded_process
from apps.agent.pacsync_agent.system import parallel
from tests.support.wait import until

ROOT = Path(__file__).resolve().parents[2]
# A program with a child, as fakeroot and pacman 7 have; both write down who they are.
PROGRAM = 'sleep 300 & echo $! >"$0/child.new"; echo $$ >"$0/self"; mv "$0/child.new" "$0/child"; wait'


def command(directory: Path) -> list[str]:
    return ["sh", "-c", PROGRAM, str(directory)]


def pids(directory: Path) -> list[int]:
    until(lambda: (directory / "child").exists())
    return [int((directory / name).read_text()) for name in ("self", "child")]


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(found: list[int]) -> None:
    until(lambda: not any(map(lives, found)), seconds=5)


def test_program_that_ends_gives_its_status_and_leaves_no_watcher(tmp_path: Path) -> None:
    said = tmp_path / "session"
    words = ["sh", "-c", 'cut -d" " -f6 /proc/$$/stat >"$0"; cat; exit 7', str(said)]
    assert bounded_process.run(words, seconds=20, most=1000, stop=threading.Event()) == 7
    session = said.read_text().strip()

    def left() -> list[str]:
        stats = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):  # another process, which has ended meanwhile
                stats.append(path.read_text())
        return [stat for stat in stats if stat.rpartition(")")[2].split()[3] == session]

    until(lambda: not left(), seconds=5)


def test_program_that_is_stopped_or_too_late_is_gone_with_its_children(tmp_path: Path) -> None:
    stop = threading.Event()
    threading.Timer(1, stop.set).start()
    assert bounded_process.run(command(tmp_path), seconds=60, most=1000, stop=stop) is None
    gone(pids(tmp_path))
    with pytest.raises(bounded_process.TooLong):
        bounded_process.run(command(tmp_path), seconds=1, most=1000, stop=threading.Event())
    gone(pids(tmp_path))


def test_exception_in_the_waiting_thread_ends_the_programs_of_the_others(tmp_path: Path) -> None:
    """A signal raises Interrupted in the main thread, at any moment."""
    cancel = threading.Event()
    directories = [tmp_path / str(number) for number in range(3)]
    for directory in directories:
        directory.mkdir()

    def poll() -> None:
        if all((directory / "child").exists() for directory in directories):
            raise Interrupted(15)

    began = time.monotonic()
    with pytest.raises(Interrupted):
        parallel.each(
            lambda directory: bounded_process.run(command(directory), seconds=60, most=1000, stop=cancel),
            directories,
            workers=3,
            fatal=lambda error: True,
            poll=poll,
            cancel=cancel,
        )
    gone([pid for directory in directories for pid in pids(directory)])  # a killed child is gone a moment later
    assert time.monotonic() - began < 20


def test_threads_that_do_not_end_are_waited_for_a_second_only() -> None:
    ended = threading.Event()
    done: list[int] = []

    def slow(number: int) -> None:
        done.append(number)
        ended.wait(30)

    def poll() -> None:
        if done:
            raise Interrupted(15)

    began = time.monotonic()
    with pytest.raises(Interrupted):
        parallel.each(slow, range(5), workers=1, fatal=lambda error: True, poll=poll, cancel=threading.Event())
    assert time.monotonic() - began < 5
    ended.set()
    time.sleep(0.2)
    assert done == [0], "nothing is begun any more"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_program_ends_with_an_agent_that_is_killed(tmp_path: Path, number: signal.Signals) -> None:
    text = (
        "import sys, threading; from apps.agent.pacsync_agent.pacman import bounded_process\n"
        "bounded_process.run(sys.argv[1:], seconds=60, most=1000, stop=threading.Event())"
    )
    agent = subprocess.Popen([sys.executable, "-c", text, *command(tmp_path)], cwd=ROOT)
    found = pids(tmp_path)
    assert all(map(lives, found))
    os.kill(agent.pid, number)
    agent.wait()
    gone(found)


def test_program_has_no_more_than_its_limit(tmp_path: Path) -> None:
    target = tmp_path / "x"

    def write(most: int) -> int | None:
        command = ["sh", "-c", 'head -c 100000 /dev/zero >"$0"', str(target)]
        return bounded_process.run(command, seconds=20, most=most, stop=threading.Event())

    assert write(1 << 20) == 0
    assert write(1000) != 0 and target.stat().st_size < 4000
