"""`manage.py operations`: what was done on the machines lately, and what came of it."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from apps.api.management.console import clear_errors
from apps.api.schemas.operations import operation_out
from apps.fleet.models import Operation, OperationStatus
from apps.lifecycle.management.output import TellingCommand, table

MOST = 10_000


class Command(TellingCommand):
    help = "List operations, newest first, with the cause of those that failed."
    example = "--status failed --last 20"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--endpoint", metavar="NAME", help="only those of this endpoint")
        parser.add_argument("--pool", metavar="POOL", help="only those of endpoints that are in this pool now")
        parser.add_argument("--status", choices=OperationStatus.values, help="only those with this status")
        parser.add_argument("--last", metavar="N", type=int, default=50, help="so many (default: %(default)s)")

    def handle(self, *args: Any, last: int, **options: Any) -> None:
        if not 1 <= last <= MOST:
            raise CommandError(f"--last must be between 1 and {MOST}.")
        wanted = {"endpoint__name": options["endpoint"], "endpoint__pool__name": options["pool"]}
        filters = {key: value for key, value in (wanted | {"status": options["status"]}).items() if value is not None}
        with clear_errors():
            rows = Operation.objects.with_names().filter(**filters).order_by("-created", "-id")
            found = [operation_out(one).model_dump(mode="json") for one in rows[:last]]
        cells = [
            (
                one["created"][:16].replace("T", " "),
                one["endpoint"],
                one["kind"],
                one["status"],
                one["author"],
                cause(one),
            )
            for one in found
        ]
        header = ("CREATED (UTC)", "ENDPOINT", "KIND", "STATUS", "BY", "CAUSE")
        self.tell(options, {"operations": found}, table(header, cells))


def cause(operation: dict[str, Any]) -> str:
    """Why it didn't succeed: code and first line; empty where it did, or isn't over."""
    result = operation["result"] or {}
    if operation["status"] == OperationStatus.SUCCEEDED or not result.get("code"):
        return ""
    message = (result.get("message") or "").partition("\n")[0]
    return f"{result['code']}: {message[:120]}"
