"""The agent's answer to signals, in a real process."""

import signal
import subprocess
import sys

from django.conf import settings

from apps.agent.pacsync_agent.system.stop_event import StopEvent

# Its main thread is inside `wait` almost all of the time, shielded from the exception that a signal else raises there.
WAITING = """
from apps.agent.pacsync_agent.system.signals import Signals
signals = Signals()
signals.install()
with signals.shielded():
    print("waiting", flush=True)
    while not signals.stop.wait(0):
        pass
print(signals.number, signals.stop.is_set(), signals.stop.wait())
"""


def test_signal_ends_a_wait_in_the_main_thread_wherever_it_interrupts() -> None:
    for _ in range(10):
        with subprocess.Popen(
            [sys.executable, "-c", WAITING], cwd=settings.BASE_DIR, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout and process.stdout.readline() == "waiting\n"
            process.send_signal(signal.SIGTERM)
            try:
                output, _ = process.communicate(timeout=20)
            finally:
                process.kill()
        assert (process.returncode, output) == (0, f"{signal.SIGTERM:d} True True\n")


def test_wait_ends_after_its_timeout_and_at_once_when_it_is_set() -> None:
    event = StopEvent()
    assert not event.wait(0.01) and not event.is_set()
    event.set()
    event.set()
    assert event.wait(60) and event.wait() and event.is_set()
