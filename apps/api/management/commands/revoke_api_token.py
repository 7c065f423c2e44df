"""`manage.py revoke_api_token NAME`: makes a token invalid at once."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from apps.api.management.console import ACTOR, clear_errors
from apps.fleet import tokens
from apps.fleet.models import ApiToken
from apps.lifecycle.management.output import TellingCommand
from apps.lifecycle.printable import one_line


class Command(TellingCommand):
    help = "Revoke an API token for good. It stays in the list."
    example = "ann"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name", help="as list_api_tokens shows it")

    def handle(self, *args: Any, name: str, **options: Any) -> None:
        with clear_errors():
            token = ApiToken.objects.filter(name=name).first() if "\0" not in name else None
            if token is None:
                raise CommandError(f"There is no API token {name!r}.")
            tokens.revoke_api_token(token=token, actor=ACTOR)
        if options["format"] == "json":
            self.tell(options, {"name": name, "revoked": True}, [])
        else:
            self.stderr.write(one_line(f"{name} is revoked."))
