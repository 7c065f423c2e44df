"""`manage.py drain`: ask the local instance to stop taking new clients, without a signal.

Readiness is 503 from that moment and everything is still served, until SIGTERM comes or `--undo` takes it back. The
instance is found by its shared memory in /proc: no file, no socket, no port, and only its own user (or root) can.
"""

import time
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from apps.lifecycle import board, memory, phase, shutdown
from apps.lifecycle.management.output import TellingCommand


class Command(TellingCommand):
    help = "Ask the local instance to drain: readiness becomes 503, everything is still served."
    example = "--wait 30"
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--wait",
            nargs="?",
            type=float,
            const=settings.SHUTDOWN_TIMEOUT,
            metavar="SECONDS",
            help="wait until SHUTDOWN_DRAIN_DELAY has passed and nothing is in progress, SECONDS at most "
            "(default SHUTDOWN_TIMEOUT); exit 1 when something still is",
        )
        parser.add_argument("--undo", action="store_true", help="serve normally again")
        parser.add_argument(
            "--instance",
            type=int,
            metavar="PORT",
            help="the port or the process id of the instance; default: the one on HTTP_PORT",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["undo"] and options["wait"] is not None:
            raise CommandError("--undo and --wait don't go together.")
        if options["wait"] is not None and not 0 <= options["wait"] <= 1e6:
            raise CommandError(f"--wait takes a number of seconds, not {options['wait']:g}.")
        self._options = options
        pid, instance = find(options["instance"])
        if options["undo"]:
            self._undo(pid, instance)
        else:
            self._drain(pid, instance)
        if options["format"] == "json":
            draining = bool(instance.floats[memory.DRAIN_REQUESTED_AT] or instance.floats[memory.SIGNAL_AT])
            found = {"port": instance.integers[memory.PORT], "pid": pid, "draining": draining}
            self.tell(options, found | {"in_progress": _work(instance)}, [])

    def _say(self, line: str) -> None:
        """At once: what follows may take its time."""
        if self._options["format"] == "text":
            self.stdout.write(line)

    def _drain(self, pid: int, instance: memory.Memory) -> None:
        times = instance.floats
        if not times[memory.DRAIN_REQUESTED_AT]:
            times[memory.DRAIN_REQUESTED_AT] = time.monotonic()
        self._say(f"{_title(pid, instance)} is draining: {_under_way(instance)}.")
        if self._options["wait"] is not None:
            self._wait(instance, self._options["wait"])

    def _undo(self, pid: int, instance: memory.Memory) -> None:
        if instance.floats[memory.SIGNAL_AT]:
            raise CommandError(f"{_title(pid, instance)} got a signal to stop: that can't be taken back.")
        if not instance.floats[memory.DRAIN_REQUESTED_AT]:
            self._say(f"{_title(pid, instance)} was not draining.")
            return
        instance.floats[memory.DRAIN_REQUESTED_AT] = 0
        self._say(f"{_title(pid, instance)} serves normally again.")

    def _wait(self, instance: memory.Memory, seconds: float) -> None:
        end = time.monotonic() + seconds
        drained = phase.began(instance) + instance.floats[memory.DRAIN_DELAY]
        while True:
            now = time.monotonic()
            if not (instance.floats[memory.DRAIN_REQUESTED_AT] or instance.floats[memory.SIGNAL_AT]):
                raise CommandError("The drain was taken back: the instance serves normally again.")
            if not _work(instance) and now >= min(drained, end):
                self._say("Nothing is in progress any more.")
                return
            if now >= end:
                raise CommandError(f"Still in progress after {seconds:g} s: {_under_way(instance)}.")
            time.sleep(0.1)


def find(wanted: int | None) -> tuple[int, memory.Memory]:
    """(pid, board) of the instance with this port or pid; CommandError when it isn't there."""
    found = list(memory.instances())
    key = settings.HTTP_PORT if wanted is None else wanted
    matches = [(pid, one) for pid, one in found if key in (one.integers[memory.PORT], pid)]
    if not matches and wanted is None:  # its port was changed by an option, which this command doesn't see
        matches = [(pid, one) for pid, one in found if key == one.integers[memory.ASKED_PORT]]
    if len(matches) == 1:
        return matches[0]
    others = "; ".join(_title(pid, one) for pid, one in found) or "none"
    if not matches:
        raise CommandError(f"No instance of this user runs on port {key}. Running: {others}. Choose with --instance.")
    raise CommandError(f"Several instances match {key}: {others}. Choose one by its process id with --instance.")


def _title(pid: int, instance: memory.Memory) -> str:
    return f"instance on port {instance.integers[memory.PORT]} (pid {pid})"


def _work(instance: memory.Memory) -> dict[str, int]:
    return dict(shutdown.waiting_for(board.snapshot(instance)))


def _under_way(instance: memory.Memory) -> str:
    work = _work(instance)
    return ", ".join(f"{count} {name}" for name, count in sorted(work.items())) or "nothing in progress"
