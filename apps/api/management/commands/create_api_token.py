"""`manage.py create_api_token NAME --role operator`: the first way into the API. Prints the token, once."""

from typing import Any

from django.core.management.base import CommandParser

from apps.api.management.console import ACTOR, clear_errors
from apps.api.requests.lookups import checked_name
from apps.fleet import tokens
from apps.fleet.models.credentials import ApiTokenRole
from apps.lifecycle.management.output import TellingCommand


class Command(TellingCommand):
    help = "Make an API token and print it. It is shown only once, because only its hash is stored."
    example = "ann --role operator"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name", help="whose token it is; the audit shows it")
        parser.add_argument(
            "--role", choices=ApiTokenRole.values, default=ApiTokenRole.VIEWER, help="default: %(default)s, may read"
        )

    def handle(self, *args: Any, name: str, role: str, **options: Any) -> None:
        with clear_errors():
            _, text = tokens.create_api_token(name=checked_name(name), role=role, actor=ACTOR)
        self.tell(options, {"name": name, "role": role, "token": text}, [text])
