"""`manage.py healthcheck` when Django runs it (`call_command`, `manage.py help`).

The command itself is `apps.health.command.healthcheck`, which `manage.py` runs before Django is loaded.
"""

import argparse
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.health.command import healthcheck, options


class Command(BaseCommand):
    help = "Tell whether the server is ready: exit code 0 ready, 1 not ready, 2 could not be determined."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        options.add_arguments(parser)

    def handle(self, *args: Any, **given: Any) -> None:
        code = healthcheck.run(argparse.Namespace(**given), self.stdout)  # type: ignore[arg-type]
        if code:
            sys.exit(code)
