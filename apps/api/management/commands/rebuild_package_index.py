"""`manage.py rebuild_package_index`: rebuilds the index of packages while the server works."""

from typing import Any

from apps.api.management.console import clear_errors
from apps.fleet import package_index
from apps.lifecycle.management.output import TellingCommand


class Command(TellingCommand):
    help = (
        "Rebuild the index of packages from the current states of the endpoints. The index is kept up to date "
        "automatically, so run this only if answers about packages are wrong. Questions are answered in the meantime."
    )
    example = "--verbosity 2"

    def handle(self, *args: Any, **options: Any) -> None:
        with clear_errors():
            written = package_index.rebuild(self._say if options["verbosity"] > 1 else lambda count: None)
        self.tell(options, {"states": written}, [f"The index of packages was rebuilt: {written:,} states."])

    def _say(self, written: int) -> None:
        self.stderr.write(f"{written:,} states")
