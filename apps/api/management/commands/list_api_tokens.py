"""`manage.py list_api_tokens`: which tokens there are, and whose. The tokens themselves aren't kept."""

from datetime import datetime
from typing import Any

from django.conf import settings

from apps.api.management.console import clear_errors
from apps.fleet.models import ApiToken
from apps.lifecycle.management.output import TellingCommand
from apps.lifecycle.printable import one_line


class Command(TellingCommand):
    help = "List the API tokens: name, role, when made, last used and revoked (UTC)."
    example = "--format json"

    def handle(self, *args: Any, **options: Any) -> None:
        with clear_errors():
            rows = list(
                ApiToken.objects.order_by("name").values_list("name", "role", "created", "last_used", "revoked")
            )
        if options["format"] == "json":
            keys = ("name", "role", "created", "last_used", "revoked")
            shown = [dict(zip(keys, (row[0], row[1], *map(_exact, row[2:])), strict=True)) for row in rows]
            self.tell(options, {"tokens": shown}, [])
            return
        if not rows:
            make = f"{settings.MANAGE_COMMAND} create_api_token NAME --role operator"
            self.stderr.write(f"There are no API tokens. Make one: {make}")
            return
        self._line("NAME", "ROLE", "CREATED", "LAST USED", "REVOKED")
        for name, role, *times in rows:
            self._line(name, role, *map(_minute, times))

    def _line(self, name: str, role: str, *times: str) -> None:
        columns = "".join(f"  {time:<16}" for time in times)
        self.stdout.write(one_line(f"{name:<24}  {role:<8}{columns}".rstrip()))


def _exact(time: datetime | None) -> str | None:
    return time.isoformat() if time else None


def _minute(time: datetime | None) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC" if time else "-"
