"""`manage.py blocked_logins`: from where no password is accepted at the moment, and how to release it."""

from datetime import UTC
from typing import Any

from django.core.management.base import CommandError, CommandParser

from apps.accounts import login_failures, login_identity
from apps.accounts.login_failures import Block
from apps.api.management.console import ACTOR, clear_errors
from apps.fleet.plural import counted
from apps.lifecycle.management.output import TellingCommand, table

EVERY_ACCOUNT, NO_ACCOUNT = "every account", "no such account"


class Command(TellingCommand):
    help = (
        "List the network addresses from which no password is accepted at the moment, because too many wrong ones came "
        "from there. With an option, forget wrong passwords, so that new ones are accepted at once."
    )
    example = "--release-address 203.0.113.9"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--release-address", metavar="ADDRESS", help="all that came from this address")
        which.add_argument("--release-account", metavar="NAME", help="all that came for this account")
        which.add_argument("--release-all", action="store_true", help="all")

    def handle(self, *args: Any, **options: Any) -> None:
        address, account = options["release_address"] or "", options["release_account"] or ""
        if address and login_identity.counted_as(address) is None:
            raise CommandError(f"{address!r} is no IP address. Give one like 203.0.113.9 or 2001:db8::/64.")
        with clear_errors():
            if address or account or options["release_all"]:
                failures = login_failures.release(actor=ACTOR, address=address, account=account)
                return self.tell(options, {"forgotten": failures}, [f"Forgot {counted(failures, 'wrong password')}."])
            found = login_failures.blocks()
        rows = [(_address(one), _account(one), one.failures, f"{one.until:%Y-%m-%d %H:%M:%S}") for one in found]
        lines = table(("ADDRESS", "ACCOUNT", "WRONG PASSWORDS", "UNTIL (UTC)"), rows)
        self.tell(
            options, {"blocked": [_document(one) for one in found]}, lines if rows else ["No address is blocked."]
        )


def _document(block: Block) -> dict[str, Any]:
    """`account` is None if the address is blocked for every account, or there is no account of the name."""
    return {
        "address": _address(block),
        "every_account": not block.account,
        "account": block.account if login_identity.is_known(block.account) else None,
        "wrong_passwords": block.failures,
        "until": block.until.astimezone(UTC).isoformat(),
    }


def _address(block: Block) -> str:
    return login_identity.shown(block.address)


def _account(block: Block) -> str:
    if not block.account:
        return EVERY_ACCOUNT
    return block.account if login_identity.is_known(block.account) else NO_ACCOUNT
