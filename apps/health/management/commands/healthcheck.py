"""`manage.py healthcheck` for those who come through Django (`call_command`, `manage.py help`).

The command itself is `apps.health.healthcheck`, which `manage.py` runs before Django is loaded.
"""

import argparse
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.health import healthcheck


class Command(BaseCommand):
    help = "Tell whether the server is ready: exit code 0 ready, 1 not ready, 2 could not be determined."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        healthcheck.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        code = healthcheck.run(argparse.Namespace(**options), self.stdout)  # type: ignore[arg-type]
        if code:
            sys.exit(code)
