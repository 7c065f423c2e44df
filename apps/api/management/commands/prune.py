"""`manage.py prune`: removes what is no longer needed, as the chore does every ten minutes, until nothing is left."""

from collections import Counter
from typing import Any

from django.core.management.base import CommandParser

from apps.api.management.console import clear_errors
from apps.fleet import retention
from apps.fleet.plural import counted
from apps.lifecycle.management.output import TellingCommand

# What is counted: its word for one, its word for several, and what they are.
WORDS = {
    "history": ("entry", "entries", "of endpoints' histories beyond their pool's retention"),
    "operations": ("finished operation", "finished operations", "beyond the newest of each endpoint"),
    "offline": ("note", "notes", "of times when endpoints were offline, beyond the newest of each"),
    "states": ("state", "states", "that nothing refers to"),
    "repositories": ("repository content", "repository contents", "that nobody sees any more"),
    "files": ("file list", "file lists", "of targets that are gone"),
    "versions": ("package version", "package versions", "that no state has"),
}


class Command(TellingCommand):
    help = "Remove what isn't needed any more, even if AUTO_CLEANUP_OLD_STATES is off."
    example = "--dry-run"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="count what could be removed now, and remove nothing. Removing it may free more",
        )

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:
        with clear_errors():
            found = retention.removable() if dry_run else _removed()
        verb = "could be removed" if dry_run else "removed"
        counts = {kind: found.get(kind, 0) for kind in WORDS}
        lines = [f"{_counted(kind, count)} {verb}" for kind, count in counts.items() if count]
        self.tell(options, {"dry_run": dry_run, "rows": counts}, lines or ["There is nothing to remove."])


def _counted(kind: str, count: int) -> str:
    one, many, which = WORDS[kind]
    return f"{counted(count, one, many)} {which}"


def _removed() -> dict[str, int]:
    total: Counter[str] = Counter()
    while any((run := retention.run()).values()):
        total.update(run)
    return total
