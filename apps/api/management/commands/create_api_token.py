"""`manage.py create_api_token NAME --role operator`: the first way into the API. Prints the token, once."""

from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import CommandParser

from apps.api.management.console import ACTOR, account_named, clear_errors
from apps.api.requests.lookups import checked_name
from apps.fleet import limits, tokens
from apps.fleet.models import ApiToken, Role
from apps.lifecycle.ages import moment_text
from apps.lifecycle.management.output import TellingCommand

NEVER = "never"


def days(text: str) -> int | None:
    """The number of days; None for `never`. Raises ArgumentTypeError."""
    if text == NEVER:
        return None
    if text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= limits.API_TOKEN_DAYS:
        return int(text)
    raise ArgumentTypeError(f"{text!r} is neither a number of days from 1 to {limits.API_TOKEN_DAYS} nor {NEVER}")


class Command(TellingCommand):
    help = (
        "Make an API token and print it. It is shown only once, because only its hash is stored. A token with an owner "
        "may do no more than the owner, and stops working when the owner's account is deactivated or deleted."
    )
    example = "ann-laptop --role operator --owner ann --expires 30"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name", help="what the audit calls it")
        parser.add_argument(
            "--role",
            choices=Role.values,
            default=Role.VIEWER,
            help="viewer may read, operator also change, administrator also see and revoke all tokens "
            "(default: %(default)s)",
        )
        parser.add_argument(
            "--owner",
            metavar="USER",
            help="the account that it belongs to. Without it the token belongs to nobody: it stays when people leave",
        )
        parser.add_argument(
            "--expires",
            metavar="DAYS",
            type=days,
            default=tokens.DEFAULT_DAYS,
            help=f"after how many days it stops working, or {NEVER} (default: %(default)s)",
        )

    def handle(self, *args: Any, name: str, role: str, owner: str | None, expires: int | None, **options: Any) -> None:
        with clear_errors():
            token, text = tokens.create_api_token(
                name=checked_name(name),
                role=role,
                actor=ACTOR,
                owner=account_named(owner) if owner is not None else None,
                days=expires,
            )
        said = {"name": name, "role": role, "owner": owner, "expires": token.expires and token.expires.isoformat()}
        self.tell(options, {**said, "token": text}, [text])
        if options["format"] == "text" and self.stdout.isatty():  # a program that reads the token gets nothing else
            self.stderr.write(_about(token))


def _about(token: ApiToken) -> str:
    owner = f"It belongs to {token.owner.get_username()}" if token.owner else "It has no owner (--owner USER)"
    if token.expires is None:
        return f"{owner} and never expires."
    return f"{owner} and expires at {moment_text(token.expires)} (--expires DAYS)."
