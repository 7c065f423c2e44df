"""`manage.py endpoint_token`: let an endpoint's machine enrol again, have its token rotated, or revoke it."""

from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser

from apps.api.management.console import ACTOR, clear_errors, endpoint_named
from apps.fleet import endpoint_tokens, enrolment, limits
from apps.fleet.models import Endpoint
from apps.lifecycle.management.output import TellingCommand


class Command(TellingCommand):
    help = (
        "Change the token of an endpoint. With --enrol-again, its machine gets a new one: a code is printed, once, and "
        "the old token is revoked at once."
    )
    example = "box --enrol-again --server https://pacsync.example"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name", metavar="NAME", help="the endpoint")
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument(
            "--enrol-again",
            action="store_true",
            help="make a code with which one machine enrols again as this endpoint, which keeps its history and pool",
        )
        what.add_argument("--withdraw-code", action="store_true", help="delete that code; the token stays revoked")
        what.add_argument(
            "--rotate", action="store_true", help="ask the agent to make a new token at its next check-in"
        )
        what.add_argument("--revoke", action="store_true", help="lock the machine out")
        parser.add_argument(
            "--server", metavar="URL", help="with --enrol-again: print the line to run on the machine, for this address"
        )
        parser.add_argument(
            "--valid-hours", metavar="H", type=int, help="with --enrol-again: how long the code is valid (default: 24)"
        )

    def handle(self, *args: Any, name: str, **options: Any) -> None:
        hours = options["valid_hours"]
        if not options["enrol_again"] and (options["server"] or hours is not None):
            raise CommandError("--server and --valid-hours go with --enrol-again only.")
        if hours is not None and not 1 <= hours <= limits.ENROLMENT_HOURS:
            raise CommandError(f"--valid-hours must be between 1 and {limits.ENROLMENT_HOURS} (a year).")
        with clear_errors():
            endpoint = endpoint_named(name)
            if options["enrol_again"]:
                self._enrol_again(endpoint, options)
            elif options["withdraw_code"]:
                endpoint_tokens.withdraw_reenrolment(endpoint=endpoint, actor=ACTOR)
                self._say(options, name, "withdrawn", f"{name}: no machine can enrol again with the code any more.")
            elif options["rotate"]:
                endpoint_tokens.request_rotation(endpoint=endpoint, actor=ACTOR)
                self._say(options, name, "requested", f"{name}: its agent rotates the token at its next check-in.")
            else:
                endpoint_tokens.revoke_token(endpoint=endpoint, actor=ACTOR)
                self._say(options, name, "revoked", f"{name}: the server refuses the machine now.")

    def _enrol_again(self, endpoint: Endpoint, options: dict[str, Any]) -> None:
        url = None if options["server"] is None else enrolment.address(options["server"])
        code, text = endpoint_tokens.allow_reenrolment(
            endpoint=endpoint, actor=ACTOR, valid_for=timedelta(hours=options["valid_hours"] or 24)
        )
        line = None if url is None else enrolment.command(url, text, again_as=endpoint.name)
        said = {"name": endpoint.name, "code": text, "line": line, "expires": code.expires.isoformat()}
        self.tell(options, said, [line or text])

    def _say(self, options: dict[str, Any], name: str, outcome: str, line: str) -> None:
        self.tell(options, {"name": name, "outcome": outcome}, [line])
