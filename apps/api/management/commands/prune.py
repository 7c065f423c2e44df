"""`manage.py prune`: removes what isn't needed any more, as the chore does every ten minutes, until nothing is left."""

from collections import Counter
from typing import Any

from django.core.management.base import CommandParser

from apps.api.management.console import clear_errors
from apps.fleet import retention
from apps.lifecycle.management.output import TellingCommand

WORDS = {
    "history": "entries of endpoints' histories beyond their pool's retention",
    "operations": "finished operations beyond the newest of each endpoint",
    "offline": "notes of times when endpoints were offline, beyond the newest of each",
    "states": "states that nothing refers to",
    "repositories": "repository contents that nobody sees any more",
    "files": "file lists of targets that are gone",
    "versions": "package versions that no state has",
}


class Command(TellingCommand):
    help = "Remove what isn't needed any more: also where AUTO_CLEANUP_OLD_STATES is off."
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
        lines = [f"{count} {WORDS[kind]} {verb}" for kind, count in counts.items() if count]
        self.tell(options, {"dry_run": dry_run, "rows": counts}, lines or ["Nothing is there to be removed."])


def _removed() -> dict[str, int]:
    total: Counter[str] = Counter()
    while any((run := retention.run()).values()):
        total.update(run)
    return total
