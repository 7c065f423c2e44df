"""`manage.py build_agent PATH`: the endpoint agent as one file, the same bytes that the server hands out."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.agent import build


class Command(BaseCommand):
    help = "Write the endpoint agent, one file that needs Python 3.9 or newer and nothing else."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", type=Path, help="where to write it, for example /usr/local/bin/pacsync-agent")

    def handle(self, *args: Any, path: Path, **options: Any) -> None:
        try:
            build.write(path)
        except OSError as error:
            raise CommandError(f"{path} can't be written: {error.strerror}.") from error
        self.stdout.write(f"{path} written.")
