"""`manage.py drain`: ask the local instance to stop taking new clients, without a signal.

From that moment readiness is 503, but everything is still served, until SIGTERM comes or `--undo` takes it back. The
instance is found by its shared memory in /proc, without a file, socket or port; only its own user (or root) can do so.
"""

import time
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from apps.lifecycle.management.output import TellingCommand
from apps.lifecycle.shared_memory import discovery, memory, phase, snapshots


class Command(TellingCommand):
    help = "Make the local instance drain: its readiness becomes 503, but it still serves everything."
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
            help="wait until SHUTDOWN_DRAIN_DELAY has passed and nothing is in progress, for at most SECONDS "
            "(default SHUTDOWN_TIMEOUT); exit code 1 if something still is",
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
            raise CommandError("--undo and --wait can't be combined.")
        if options["wait"] is not None and not 0 <= options["wait"] <= 1e6:
            raise CommandError(f"--wait takes a number of seconds, not {options['wait']:g}.")
        self._options = options
        pid, instance = find(options["instance"])
        if options["undo"]:
            self._undo(pid, instance)
        else:
            self._drain(pid, instance)
        if options["format"] == "json":
            draining = bool(instance.header.drain_requested_at or instance.header.signal_at)
            found = {"port": instance.header.port, "pid": pid, "draining": draining}
            self.tell(options, found | {"in_progress": _work(instance)}, [])

    def _say(self, line: str) -> None:
        """Print it now: what follows may take a while."""
        if self._options["format"] == "text":
            self.stdout.write(line)

    def _drain(self, pid: int, instance: memory.Memory) -> None:
        header = instance.header
        if not header.drain_requested_at:
            header.drain_requested_at = time.monotonic()
        self._say(f"{_title(pid, instance)} is draining: {_under_way(instance)}.")
        if self._options["wait"] is not None:
            self._wait(instance, self._options["wait"])

    def _undo(self, pid: int, instance: memory.Memory) -> None:
        if instance.header.signal_at:
            raise CommandError(f"{_title(pid, instance)} got a signal to stop: that can't be undone.")
        if not instance.header.drain_requested_at:
            self._say(f"{_title(pid, instance)} was not draining.")
            return
        instance.header.drain_requested_at = 0
        self._say(f"{_title(pid, instance)} serves normally again.")

    def _wait(self, instance: memory.Memory, seconds: float) -> None:
        end = time.monotonic() + seconds
        drained = phase.began(instance) + instance.header.drain_delay
        while True:
            now = time.monotonic()
            if not (instance.header.drain_requested_at or instance.header.signal_at):
                raise CommandError("The drain was undone: the instance serves normally again.")
            if not _work(instance) and now >= min(drained, end):
                self._say("Nothing is in progress any more.")
                return
            if now >= end:
                raise CommandError(f"Still in progress after {seconds:g} s: {_under_way(instance)}.")
            time.sleep(0.1)


def find(wanted: int | None) -> tuple[int, memory.Memory]:
    """(pid, memory) of the instance with this port or pid. Raises CommandError if there is none, or several."""
    found = list(discovery.instances())
    key = settings.HTTP_PORT if wanted is None else wanted
    matches = [(pid, one) for pid, one in found if key in (one.header.port, pid)]
    if not matches and wanted is None:  # its port was changed by an option, which this command doesn't see
        matches = [(pid, one) for pid, one in found if key == one.header.asked_port]
    if len(matches) == 1:
        return matches[0]
    if not matches:
        others = "; ".join(_title(pid, one) for pid, one in found) or "none"
        raise CommandError(f"No instance of this user runs on port {key}. Running: {others}. Choose with --instance.")
    several = "; ".join(_title(pid, one) for pid, one in matches)
    if len({pid for pid, _ in matches}) < len(matches):  # each in its container, with a process id of its own there
        choose = "Run it in the container: docker exec CONTAINER python manage.py drain"
    else:
        choose = "Choose one by its process id with --instance."
    raise CommandError(f"Several instances match {key}: {several}. {choose}")


def _title(pid: int, instance: memory.Memory) -> str:
    return f"instance on port {instance.header.port} (pid {pid})"


def _work(instance: memory.Memory) -> dict[str, int]:
    return dict(snapshots.snapshot(instance).in_progress)


def _under_way(instance: memory.Memory) -> str:
    work = _work(instance)
    return ", ".join(f"{count} {name}" for name, count in sorted(work.items())) or "nothing in progress"
