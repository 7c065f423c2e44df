"""setup_graceful_shutdown in a real process, by real signals."""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from django.conf import settings


@contextlib.contextmanager
def started(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.lifecycle.program", *(str(argument) for argument in arguments)],
        cwd=settings.BASE_DIR,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        try:
            assert program.stdout
            assert program.stdout.readline() == "working\n"
            yield program
        finally:
            program.kill()  # nothing if it has ended


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_waits_for_tracked_work_cleans_up_and_exits_0(number: signal.Signals) -> None:
    with started(1, 20) as program:
        program.send_signal(number)
        output, _ = program.communicate(timeout=30)
    assert program.returncode == 0
    assert output.splitlines()[:2] == ["worked", "cleaned"]
    assert "'sync_operation': 1" in output and "abandoned={}" in output


def test_signal_work_longer_than_the_timeout_is_abandoned() -> None:
    with started(60, 2) as program:
        began = time.monotonic()
        program.send_signal(signal.SIGTERM)
        output, _ = program.communicate(timeout=30)
    assert time.monotonic() - began < 20  # the work takes 60
    assert program.returncode == 0
    assert "worked" not in output and "cleaned" in output and "abandoned={'sync_operation': 1}" in output


def test_second_sigint_exits_at_once() -> None:
    with started(60, 60) as program:
        program.send_signal(signal.SIGINT)
        time.sleep(0.3)
        program.send_signal(signal.SIGINT)
        program.communicate(timeout=10)
    assert program.returncode == 130


def test_main_loop_that_ends_by_itself_keeps_its_exit_code() -> None:
    with started(0, 20, "ends") as program:
        program.send_signal(signal.SIGTERM)
        output, _ = program.communicate(timeout=30)
    assert output.count("cleaned") == 1
    assert program.returncode in (0, 7)  # whoever is first: the handler's thread or the main loop


def test_signal_that_interrupts_a_main_loop_while_it_looks_at_requested() -> None:
    for _ in range(5):
        with started(0, 20, "ends", "spins") as program:
            time.sleep(0.1)
            program.send_signal(signal.SIGTERM)
            output, _ = program.communicate(timeout=30)
        assert output.count("cleaned") == 1
