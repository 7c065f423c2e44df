"""`manage.py endpoints`: the machines with their status; or one of them with its packages, or what changed on it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser

from apps.api.management.console import clear_errors
from apps.api.schemas.endpoints import EndpointOut, endpoint_fields
from apps.api.schemas.operations import package_out
from apps.api.schemas.views import endpoint_detail
from apps.fleet import difference, last_results, states, status
from apps.fleet.models import Endpoint, EndpointState
from apps.lifecycle.management.output import TellingCommand, table


class Command(TellingCommand):
    help = "List the endpoints with their status; with a NAME, one of them."
    example = "--pool web --status behind"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name", nargs="?", metavar="NAME", help="this endpoint alone")
        parser.add_argument("--pool", metavar="POOL", help="only endpoints of this pool")
        parser.add_argument("--status", choices=[str(one) for one in status.Status], help="only those with this status")
        parser.add_argument("--packages", action="store_true", help="with NAME: the packages that it has")
        parser.add_argument(
            "--since", metavar="DATE", type=moment, help="with NAME: what changed on it since then, as in 2026-11-23"
        )

    def handle(self, *args: Any, name: str | None, **options: Any) -> None:
        if name is None and (options["packages"] or options["since"]):
            raise CommandError("--packages and --since are about one endpoint: name it.")
        if name is not None and (options["pool"] or options["status"]):
            raise CommandError("--pool and --status choose among all endpoints: leave NAME out.")
        with clear_errors():
            if name is None:
                self._list(options)
            else:
                self._one(_named(name), options)

    def _list(self, options: dict[str, Any]) -> None:
        rows = Endpoint.objects.select_related("pool").order_by("name")
        if options["pool"]:
            rows = rows.filter(pool__name=options["pool"])
        found = list(rows)
        statuses, results = status.of(found), last_results.of([one.pk for one in found])
        shown = [
            EndpointOut.model_validate(endpoint_fields(one, statuses[one.pk], results.get(one.pk))).model_dump(
                mode="json"
            )
            for one in found
            if options["status"] in (None, str(statuses[one.pk]))
        ]
        cells = [(one["name"], one["pool"], one["status"], one["agent_version"], one["last_seen"]) for one in shown]
        self.tell(options, {"endpoints": shown}, table(("NAME", "POOL", "STATUS", "AGENT", "LAST SEEN"), cells))

    def _one(self, endpoint: Endpoint, options: dict[str, Any]) -> None:
        document = endpoint_detail(endpoint).model_dump(mode="json", by_alias=True)
        lines = [f"{document['name']} is {document['status']}, in the pool {document['pool'] or '-'}."]
        if options["packages"]:
            packages = states.load(endpoint.state) if endpoint.state else []
            document["packages"] = [package_out(one).model_dump(mode="json") for one in packages]
            lines = table(("NAME", "VERSION", "ARCH", "REASON"), packages)
        if options["since"]:
            document["history"] = list(_history(endpoint, options["since"]))
            lines = [line for entry in document["history"] for line in _told(entry)]
            lines = lines or [f"Nothing changed on {endpoint.name} since {options['since']:%Y-%m-%d %H:%M} UTC."]
        self.tell(options, document, lines)


def moment(text: str) -> datetime:
    """A date or a time, in UTC where it names no zone. Raises ValueError."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _named(name: str) -> Endpoint:
    endpoint = Endpoint.objects.with_target().filter(name=name).first() if "\0" not in name else None
    if endpoint is None:
        raise CommandError(f"There is no endpoint {name!r}.")
    return endpoint


def _history(endpoint: Endpoint, since: datetime) -> Iterator[dict[str, Any]]:
    """Each state since then, oldest first, with its changes; one without any before it has none."""
    rows = EndpointState.objects.filter(endpoint=endpoint).select_related("state").order_by("seq")
    earlier = rows.filter(at__lt=since).last()
    before = states.load(earlier.state) if earlier else None
    for row in rows.filter(at__gte=since):
        after = states.load(row.state)
        changes = difference.as_json(difference.compare(before, after)) if before is not None else []
        yield {
            "seq": row.seq,
            "state": row.state_id,
            "cause": row.cause,
            "at": row.at.isoformat(),
            "packages": len(after),
            "changes": changes,
        }
        before = after


def _told(entry: dict[str, Any]) -> Iterator[str]:
    cause = EndpointState.Cause(entry["cause"]).label
    changed = len(entry["changes"])
    what = f"{changed} package{'' if changed == 1 else 's'} changed, {entry['packages']} now"
    yield f"{entry['at'][:16].replace('T', ' ')} UTC, {cause}: {what}"
    for change in entry["changes"]:
        sides = [side["version"] if side else "none" for side in (change["from"], change["to"])]
        yield f"  {change['change']:<9}  {change['name']}  {' -> '.join(sides)}"
