"""`manage.py remove_second_factor NAME`: for a person who lost their app and their recovery codes."""

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError, CommandParser

from apps.accounts import second_factor
from apps.api.management.console import ACTOR, clear_errors
from apps.lifecycle.management.output import TellingCommand


class Command(TellingCommand):
    help = "Remove the second factor and the recovery codes of an account, so that the password alone is enough."
    example = "ann"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name", help="the name of the account")

    def handle(self, *args: Any, name: str, **options: Any) -> None:
        with clear_errors():
            user = get_user_model()._default_manager.filter(username=name).first()
            if user is None:
                raise CommandError(f"There is no account {name!r}.")
            removed = second_factor.remove(user=user, actor=ACTOR)
        text = f"{name} can log in with the password alone." if removed else f"{name} has no second factor."
        self.tell(options, {"name": name, "removed": removed}, [text])
