"""`manage.py operations`: recent operations on the machines, and how they ended."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from apps.api.management.console import clear_errors, endpoint_named, moment, pool_named
from apps.api.schemas.operations import OperationOut, operation_out
from apps.fleet.filters import IN_NO_POOL, OPERATION_STATUSES, OperationFilter
from apps.fleet.models import OperationKind, OperationStatus
from apps.lifecycle.management.output import TellingCommand, minute, table

MOST = 10_000
# Options that select among all operations, in the words of the API.
FILTERS = ("endpoint", "pool", "status", "kind", "since", "until")
HEADER = ("CREATED (UTC)", "ENDPOINT", "KIND", "STATUS", "BY", "CAUSE")


class Command(TellingCommand):
    help = "List operations, newest first, with the cause of those that failed."
    example = "--status failed --last 20"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--endpoint", metavar="NAME", help="only those of this endpoint")
        parser.add_argument(
            "--pool", metavar="POOL", help=f"only those of endpoints in this pool now; {IN_NO_POOL}: in none"
        )
        parser.add_argument("--status", choices=OPERATION_STATUSES, help="only those with this status")
        parser.add_argument("--kind", choices=OperationKind.values, help="only those of this kind")
        parser.add_argument("--since", metavar="DATE", type=moment, help="only those asked for since then")
        parser.add_argument("--until", metavar="DATE", type=moment, help="only those asked for before then")
        parser.add_argument("--reverse", action="store_true", help="the oldest first")
        parser.add_argument("--last", metavar="N", type=int, default=50, help="at most N (default: %(default)s)")

    def handle(self, *args: Any, last: int, **options: Any) -> None:
        if not 1 <= last <= MOST:
            raise CommandError(f"--last must be between 1 and {MOST}.")
        with clear_errors():
            if options["endpoint"] is not None:
                endpoint_named(options["endpoint"])
            if options["pool"] not in (None, IN_NO_POOL):
                pool_named(options["pool"])
            chosen = {key: options[key] for key in FILTERS if options[key] is not None}
            filters = OperationFilter(**chosen, sort="created" if options["reverse"] else "-created")
            found = [operation_out(one) for one in filters.rows().order_by(*filters.order())[:last]]
        document = {"operations": [one.model_dump(mode="json") for one in found]}
        self.tell(options, document, table(HEADER, [_cells(one) for one in found]))


def _cells(one: OperationOut) -> tuple[object, ...]:
    return minute(one.created), one.endpoint, one.kind, one.status, one.author, cause(one)


def cause(operation: OperationOut) -> str:
    """Why it didn't succeed: code and first line; empty if it did, or isn't over."""
    result = operation.result
    if operation.status == OperationStatus.SUCCEEDED or result is None or not result.code:
        return ""
    return f"{result.code}: {(result.message or '').partition(chr(10))[0][:120]}"
