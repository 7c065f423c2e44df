"""`manage.py roles [USER ROLE]`: which account has which role; gives an account another one, or none."""

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandParser

from apps.api.management.console import ACTOR, account_named, clear_errors
from apps.fleet import roles
from apps.fleet.models import Role
from apps.lifecycle.management.output import TellingCommand, table

NONE = "none"


class Command(TellingCommand):
    help = (
        "List the accounts with their roles; with USER and ROLE, give an account this role instead of the one that it "
        "has. A viewer may read, an operator may also change the fleet, an administrator may also manage accounts. "
        "What people and their API tokens may do changes at once."
    )
    example = "ann operator"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("user", nargs="?", help="the name of the account")
        parser.add_argument(
            "role", nargs="?", choices=[*Role.values, NONE], help=f"{NONE} takes the account's role away"
        )

    def handle(self, *args: Any, user: str | None, role: str | None, **options: Any) -> None:
        with clear_errors():
            if user is None:
                self._list(options, list(User.objects.order_by("username")))
                return
            account = account_named(user)
            if role is None:
                self._list(options, [account])
                return
            roles.give(user=account, role=None if role == NONE else Role(role), actor=ACTOR)
        if options["format"] == "json":
            self.tell(options, {"user": user, "role": None if role == NONE else role}, [])
        else:
            self.stderr.write(f"{user} has no role now." if role == NONE else f"{user} is {role} now.")

    def _list(self, options: dict[str, Any], accounts: list[User]) -> None:
        held = roles.of_accounts([account.pk for account in accounts])
        rows = [(account.get_username(), held[account.pk], account.is_active) for account in accounts]
        document = {"accounts": [{"user": user, "role": role, "active": active} for user, role, active in rows]}
        shown = [(user, role or NONE, "yes" if active else "no") for user, role, active in rows]
        self.tell(options, document, table(("USER", "ROLE", "ACTIVE"), shown))
