"""setup_graceful_shutdown in a real process, by real signals."""

import signal
import subprocess
import sys
import time

import pytest
from django.conf import settings


def start(*arguments: object) -> subprocess.Popen[str]:
    program = subprocess.Popen(
        [sys.executable, "-m", "tests.lifecycle.program", *(str(argument) for argument in arguments)],
        cwd=settings.BASE_DIR,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdout
    assert program.stdout.readline() == "working\n"
    return program


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_waits_for_tracked_work_cleans_up_and_exits_0(number: signal.Signals) -> None:
    program = start(1, 20)
    program.send_signal(number)
    output, _ = program.communicate(timeout=30)
    assert program.returncode == 0
    assert output.splitlines()[:2] == ["worked", "cleaned"]
    assert "'sync_operation': 1" in output and "abandoned={}" in output


def test_signal_work_longer_than_the_timeout_is_abandoned() -> None:
    program = start(60, 2)
    began = time.monotonic()
    program.send_signal(signal.SIGTERM)
    output, _ = program.communicate(timeout=30)
    assert time.monotonic() - began < 20  # the work takes 60
    assert program.returncode == 0
    assert "worked" not in output and "cleaned" in output and "abandoned={'sync_operation': 1}" in output


def test_second_sigint_exits_at_once() -> None:
    program = start(60, 60)
    program.send_signal(signal.SIGINT)
    time.sleep(0.3)
    program.send_signal(signal.SIGINT)
    program.communicate(timeout=10)
    assert program.returncode == 130


def test_main_loop_that_ends_by_itself_keeps_its_exit_code() -> None:
    program = start(0, 20, "ends")
    program.send_signal(signal.SIGTERM)
    output, _ = program.communicate(timeout=30)
    assert output.count("cleaned") == 1
    assert program.returncode in (0, 7)  # whoever is first: the handler's thread or the main loop
