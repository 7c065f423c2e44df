"""`manage.py list_api_tokens`: which tokens there are, and whose. The tokens themselves aren't kept."""

from datetime import datetime
from typing import Any

from django.conf import settings

from apps.api.management.console import clear_errors
from apps.fleet.models import ApiToken
from apps.lifecycle.management.output import TellingCommand, minute, table


class Command(TellingCommand):
    help = (
        "List the API tokens: name, role, owner, what each is good for now, and when it was made, expires, was last "
        "used and revoked (UTC). A token without an owner stays when people leave."
    )
    example = "--format json"

    def handle(self, *args: Any, **options: Any) -> None:
        with clear_errors():
            found = list(ApiToken.objects.with_status().order_by("name"))
        if not found and options["format"] == "text":
            make = f"{settings.MANAGE_COMMAND} create_api_token NAME --role operator --owner USER"
            self.stderr.write(f"There are no API tokens. Make one: {make}")
            return
        self.tell(options, {"tokens": [_document(token) for token in found]}, table(_HEADER, [*map(_row, found)]))


_HEADER = ("NAME", "ROLE", "OWNER", "STATUS", "CREATED (UTC)", "EXPIRES", "LAST USED", "REVOKED")


def _row(token: ApiToken) -> tuple[str | None, ...]:
    owner = token.owner.get_username() if token.owner else "no owner"
    expires = minute(token.expires) or "never"
    times = (minute(token.last_used), minute(token.revoked))
    return token.name, _role(token), owner, token.status.replace("_", " "), minute(token.created), expires, *times


def _role(token: ApiToken) -> str:
    """The role, and what is left of it while its owner may do less."""
    now = token.role_now
    return token.role if now == token.role else f"{token.role} (now {now or 'none'})"


def _document(token: ApiToken) -> dict[str, Any]:
    return {
        "name": token.name,
        "role": token.role,
        "owner": token.owner.get_username() if token.owner else None,
        "role_now": token.role_now,
        "status": token.status,
        "created": _exact(token.created),
        "expires": _exact(token.expires),
        "last_used": _exact(token.last_used),
        "revoked": _exact(token.revoked),
    }


def _exact(time: datetime | None) -> str | None:
    return time.isoformat() if time else None
