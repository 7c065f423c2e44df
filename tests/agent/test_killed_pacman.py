"""A pacman that a signal ends: what is said of it, and whether it is tried again."""

import os
import signal
from pathlib import Path

import pytest

from apps.agent.pacsync_agent.errors import AgentError, Failed, Refused
from apps.agent.pacsync_agent.pacman import ended_by_signal, execution
from apps.agent.pacsync_agent.pacman.configuration import ENVIRONMENT
from apps.fleet import retries
from tests.support import direct
from tests.support.pacman import Fleet, Machine

pytestmark = pytest.mark.needs("pacman")
DAY = "2025/01/01"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    fleet = Fleet(tmp_path)
    old = fleet.package("tool", "1-1")
    fleet.snapshot(DAY, [fleet.package("tool", "2-1")])
    made = fleet.machine("m", DAY, options=f"CacheDir = {fleet.pool}")
    made.pacman("-U", old.path)
    return made


def end_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, argument: str, number: int) -> None:
    """Have each pacman with this argument ended by the signal, after it said something."""
    directory = tmp_path / "bin"
    directory.mkdir()
    real = next(path for one in os.environ["PATH"].split(":") if (path := Path(one) / "pacman").exists())
    script = directory / "pacman"
    script.write_text(
        f'#!/bin/sh\nfor a; do [ "$a" != {argument} ] || {{ echo "warning: ..."; kill -{number} $$; }}; done\n'
        f'exec {real} "$@"\n'
    )
    script.chmod(0o755)
    monkeypatch.setitem(ENVIRONMENT, "PATH", f"{directory}:{ENVIRONMENT['PATH']}")


def bring(machine: Machine) -> AgentError:
    with pytest.raises(AgentError) as error:
        direct.bring(machine, direct.packages({"tool": ("2-1", "explicit")}))
    assert machine.state() == {"tool": ("1-1", "explicit")}
    return error.value


@pytest.mark.parametrize(("argument", "doing"), [("--dbonly", "in the rehearsal"), ("-Dk", "while it checked")])
def test_rehearsal_that_is_killed_says_nothing_of_the_target_and_is_tried_again(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, argument: str, doing: str
) -> None:
    end_it(monkeypatch, tmp_path, argument, signal.SIGKILL)
    error = bring(machine)
    assert isinstance(error, Failed) and error.code == "pacman_killed"
    assert error.message.startswith(f"pacman was killed (signal 9) {doing}") and "too little memory?" in error.message
    assert "Hold or exclude" not in error.hint
    assert retries.is_passing({"code": error.code})


def test_signal_that_isnt_the_kernels_is_no_question_of_memory(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    end_it(monkeypatch, tmp_path, "--dbonly", signal.SIGTERM)
    assert bring(machine).message == "pacman was killed (signal 15) in the rehearsal."


def test_pacman_that_crashes_by_itself_is_refused(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    end_it(monkeypatch, tmp_path, "--dbonly", signal.SIGSEGV)
    error = bring(machine)
    assert isinstance(error, Refused) and error.code == "rehearsal_failed"
    assert not retries.is_passing({"code": error.code})
    assert "signal 11 made it crash" in error.message and "doesn't fit" not in error.message
    assert "Hold or exclude" not in error.hint


def test_status_of_a_signal_is_the_shells() -> None:
    assert [ended_by_signal.status(number) for number in (0, 1, -9)] == [0, 1, 137]
    assert execution.Run(137, "warning: ...").errors == ["signal 9 ended it"]
