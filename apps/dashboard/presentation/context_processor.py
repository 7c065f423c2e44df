"""What every page may show: the version, how to run a management command, and what the person's role allows.

The role is looked up only by pages that ask for it: a page that says that the database is down doesn't.
"""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest

from apps.fleet import roles
from apps.fleet.models import Role


def service(request: HttpRequest) -> dict[str, str | Callable[[], bool]]:
    """`version` for the footer; `manage` is what a command of the server begins with.

    `may_operate` and `may_administer` say whether the person may change the fleet, and accounts. Templates call them.
    """

    def may(needed: Role) -> bool:
        user = getattr(request, "user", None)
        return user is not None and roles.may(user, needed)

    return {
        "version": settings.VERSION,
        "manage": settings.MANAGE_COMMAND,
        "may_operate": lambda: may(Role.OPERATOR),
        "may_administer": lambda: may(Role.ADMINISTRATOR),
    }
