"""A program that is forked from the preloaded Python sees what it would see if it had been started afresh."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support import preloaded
from tests.support.wait import until

SEEN = textwrap.dedent("""
    import json, os, signal, sys
    print(json.dumps({
        "arguments": sys.argv, "folder": os.getcwd(), "environment": dict(os.environ), "name": __name__,
        "first": sys.path[:2], "input": sys.stdin.read(), "umask": os.umask(0o22), "bytecode": sys.dont_write_bytecode,
        "files": sorted(set(os.listdir("/proc/self/fd")) - {str(os.open("/", 0))})[:3],
        "ignored": [n for n in range(1, 32) if signal.getsignal(n) is signal.SIG_IGN],
        "interrupt": str(signal.getsignal(signal.SIGINT)),
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    }), flush=True)
    sys.stderr.write("said")
    sys.exit(4)
""")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "program.py").write_text(SEEN)
    return tmp_path


def seen(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    assert (done.returncode, done.stderr) == (4, "said"), done
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("command", [["-c", SEEN, "a b"], ["-m", "program", "a b"], ["program.py", "a b"]])
@pytest.mark.parametrize("env", [{}, {"PYTHONPATH": "/one:/two", "PYTHONDONTWRITEBYTECODE": "1", "X": "é"}])
def test_run_program_sees_the_same_as_started_afresh(folder: Path, command: list[str], env: dict[str, str]) -> None:
    env = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **env}
    afresh = subprocess.run(
        [sys.executable, *command], cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert seen(preloaded.run(command, cwd=folder, env=env)) == seen(afresh)


def started(code: str, folder: Path, *, session: bool = False) -> preloaded.Process:
    with (folder / "log").open("ab") as log:
        return preloaded.start(["-c", code], cwd=folder, env={}, stdout=log, stderr=log, session=session)


def test_process_ended_by_a_signal_has_its_negative_number(tmp_path: Path) -> None:
    process = started("import time; time.sleep(60)", tmp_path)
    assert process.poll() is None
    process.terminate()
    assert process.wait(10) == process.poll() == process.returncode == -signal.SIGTERM


def test_process_with_a_session_of_its_own_is_ended_with_its_children(tmp_path: Path) -> None:
    process = started(
        "import os, time; os.fork(); print(os.getsid(0), flush=True); time.sleep(60)", tmp_path, session=True
    )
    until(lambda: len((tmp_path / "log").read_text().split()) == 2)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL


def test_run_longer_than_its_time_is_killed(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        preloaded.run(["-c", "import time; time.sleep(60)"], cwd=tmp_path, env={}, timeout=0.2)
    assert time.monotonic() - began < 30
