"""`manage.py endpoints`: the machines with their status, or one machine with its packages or its history."""

from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError, CommandParser

from apps.api.management.console import clear_errors, endpoint_named, moment, pool_named
from apps.api.management.endpoint_summary import summary, troubles
from apps.api.schemas.endpoint_detail import endpoint_detail
from apps.api.schemas.endpoints import EndpointOut, endpoint_fields
from apps.api.schemas.history import history_out
from apps.api.schemas.operations import package_out
from apps.fleet import fleet_statuses, last_results, states, status
from apps.fleet.after_sync import LEFT_TO_DO
from apps.fleet.filters import ENDPOINT_SORTS, IN_NO_POOL, LAST_RESULTS, SORTS, EndpointFilter
from apps.fleet.models import Endpoint, EndpointState
from apps.fleet.plural import counted
from apps.fleet.status import EndpointStatus
from apps.lifecycle.management.output import TellingCommand, minute, table

# Options that select among all endpoints, in the words of the API; not the status, which isn't a column.
FILTERS = (
    "pool",
    "part",
    "package",
    "agent_version",
    "seen_after",
    "seen_before",
    "last_result",
    "files_differ",
    "resting",
    "after_sync",
    "token_shared",
    "awaits_approval",
    "sort",
)
HEADER = ("NAME", "POOL", "STATUS", "LAST RESULT", "AGENT", "LAST SEEN (UTC)")


class Command(TellingCommand):
    help = "List the endpoints with their status; with a NAME, one of them."
    example = "--pool web --status behind"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name", nargs="?", metavar="NAME", help="this endpoint alone")
        parser.add_argument("--packages", action="store_true", help="with NAME: the packages that it has")
        parser.add_argument(
            "--since", metavar="DATE", type=moment, help="with NAME: what changed on it since then, as in 2026-11-23"
        )
        parser.add_argument("--pool", metavar="POOL", help=f"only endpoints of this pool; {IN_NO_POOL}: of none")
        parser.add_argument(
            "--status", choices=[str(one) for one in status.EndpointStatus], help="only those with this status"
        )
        parser.add_argument("--part", metavar="TEXT", help="only those with this in their name")
        parser.add_argument("--package", metavar="NAME", help="only those that have this package")
        parser.add_argument("--agent-version", metavar="VERSION", help="only those whose agent has this version")
        parser.add_argument("--seen-after", metavar="DATE", type=moment, help="only those seen since then")
        parser.add_argument("--seen-before", metavar="DATE", type=moment, help="only those not seen since then")
        parser.add_argument(
            "--last-result", choices=LAST_RESULTS, help="only those whose last operation ended this way"
        )
        for option, text in (
            ("--files-differ", "have files that differ"),
            ("--resting", "automatic sync leaves alone"),
            ("--token-shared", "share their token with another machine"),
            ("--awaits-approval", "wait for an operator's approval"),
        ):
            parser.add_argument(option, action="store_const", const=True, help=f"only those that {text}")
        parser.add_argument(
            "--after-sync", choices=LEFT_TO_DO, help="only those that say that this is left to do after a sync"
        )
        parser.add_argument("--sort", choices=SORTS, metavar="FIELD", help=f"one of {', '.join(ENDPOINT_SORTS)}")
        parser.add_argument("--reverse", action="store_true", help="reverse the order, as --sort=-FIELD does")

    def handle(self, *args: Any, name: str | None, **options: Any) -> None:
        chosen = {key: options[key] for key in FILTERS if options[key] is not None}
        if name is None and (options["packages"] or options["since"]):
            raise CommandError("--packages and --since are about one endpoint: name it.")
        if name is not None and (chosen or options["status"] or options["reverse"]):
            raise CommandError("The other options choose among all endpoints: leave NAME out.")
        if options["reverse"]:
            sort = chosen.get("sort", "name")
            chosen["sort"] = sort[1:] if sort.startswith("-") else f"-{sort}"
        with clear_errors():
            if name is None:
                self._list(chosen, options)
            else:
                self._one(endpoint_named(name), options)

    def _list(self, chosen: dict[str, Any], options: dict[str, Any]) -> None:
        if chosen.get("pool", IN_NO_POOL) != IN_NO_POOL:
            pool_named(chosen["pool"])
        filters = EndpointFilter(**{"name" if key == "part" else key: value for key, value in chosen.items()})
        rows = filters.rows().order_by(*filters.order())
        if options["status"] is not None:
            rows = fleet_statuses.with_status(rows, EndpointStatus(options["status"]))
        found = list(rows)
        statuses = status.of(found)
        results = last_results.short([one.pk for one in found])
        shown = [
            EndpointOut.model_validate(endpoint_fields(one, statuses[one.pk], results.get(one.pk))) for one in found
        ]
        document = {"endpoints": [one.model_dump(mode="json") for one in shown]}
        self.tell(options, document, table(HEADER, [_cells(one) for one in shown]))

    def _one(self, endpoint: Endpoint, options: dict[str, Any]) -> None:
        document = endpoint_detail(endpoint).model_dump(mode="json", by_alias=True)
        lines = [*summary(document), *troubles(endpoint, document["resting"])]
        if options["packages"]:
            packages = states.load(endpoint.state) if endpoint.state else []
            document["packages"] = [package_out(one).model_dump(mode="json") for one in packages]
            lines = table(("NAME", "VERSION", "ARCH", "REASON"), packages)
        if options["since"]:
            history = EndpointState.objects.filter(endpoint=endpoint).order_by("-seq")
            entries = list(history.filter(at__gte=options["since"]))
            before = history.filter(seq__lt=entries[-1].seq).first() if entries else None
            found = history_out(entries, before, with_changes=True)
            document["history"] = [one.model_dump(mode="json", by_alias=True) for one in reversed(found)]
            lines = [line for entry in document["history"] for line in _told(entry)]
            lines = lines or [f"Nothing changed on {endpoint.name} since {options['since']:%Y-%m-%d %H:%M} UTC."]
        self.tell(options, document, lines)


def _cells(one: EndpointOut) -> tuple[object, ...]:
    last = f"{one.last_result.kind} {one.last_result.status}" if one.last_result else None
    return one.name, one.pool, one.status, last, one.agent_version or None, minute(one.last_seen)


def _told(entry: dict[str, Any]) -> Iterator[str]:
    changes = entry["changes"]
    cause = EndpointState.Cause(entry["cause"]).label
    at = entry["at"][:16].replace("T", " ")
    if changes is None:
        yield f"{at} UTC, {cause}: {'its first report' if entry['seq'] == 1 else 'what it had before is not kept'}"
        return
    yield f"{at} UTC, {cause}: {counted(len(changes), 'package')} changed"
    for change in changes:
        sides = [side["version"] if side else "none" for side in (change["from"], change["to"])]
        yield f"  {change['change']:<9}  {change['name']}  {' -> '.join(sides)}"
