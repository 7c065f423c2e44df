"""`manage.py approve_endpoint`: lets endpoints take part that enrolled while REQUIRE_APPROVAL was on."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from apps.api.management.console import ACTOR, clear_errors, endpoint_named
from apps.fleet import approval, endpoint_manager
from apps.fleet.models import Endpoint
from apps.lifecycle.management.output import TellingCommand, minute


class Command(TellingCommand):
    help = "Approve new endpoints that wait for it, or refuse them."
    example = "box"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "name", nargs="?", metavar="NAME", help="the endpoint; without it, those that wait are listed"
        )
        parser.add_argument("--all", action="store_true", help="approve every endpoint that waits")
        parser.add_argument("--refuse", action="store_true", help="with NAME: forget the endpoint instead")

    def handle(self, *args: Any, name: str | None, all: bool, refuse: bool, **options: Any) -> None:
        if (name is not None and all) or (refuse and name is None):
            raise CommandError("Name an endpoint, or give --all; --refuse needs a NAME.")
        with clear_errors():
            if name is not None:
                waiting = [endpoint_named(name)]
            else:
                waiting = list(Endpoint.objects.filter(approval.AWAITING).select_related("pool").order_by("name"))
            said = [(one.name, *self._done(one, decide=all or name is not None, refuse=refuse)) for one in waiting]
        document = {"endpoints": [{"name": one, "outcome": outcome, "message": line} for one, outcome, line in said]}
        self.tell(options, document, [line for _, _, line in said] or ["No endpoint waits for approval."])

    def _done(self, endpoint: Endpoint, *, decide: bool, refuse: bool) -> tuple[str, str]:
        """(what became of it, the line that says so)."""
        name = endpoint.name
        if not endpoint.awaits_approval:
            return "unchanged", f"{name}: it doesn't wait for approval; nothing was changed."
        if not decide:
            into = f"for pool {endpoint.pool.name}" if endpoint.pool else "for no pool"
            return "waiting", f"{name}: enrolled {into} at {minute(endpoint.created)} UTC, waits for approval."
        if refuse:
            endpoint_manager.delete_endpoint(endpoint=endpoint, actor=ACTOR)
            return "refused", f"{name}: refused and forgotten."
        approval.approve(endpoint=endpoint, actor=ACTOR)
        return "approved", f"{name}: approved."
