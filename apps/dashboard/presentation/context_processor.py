"""What every page may show: the version, and how to run a management command. It must not read the database."""

from django.conf import settings
from django.http import HttpRequest


def service(request: HttpRequest) -> dict[str, str]:
    """`version` for the footer; `manage` is what a command of the server begins with."""
    return {"version": settings.VERSION, "manage": settings.MANAGE_COMMAND}
