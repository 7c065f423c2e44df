"""What every page shows: the version. It must not read the database."""

from django.conf import settings
from django.http import HttpRequest


def service(request: HttpRequest) -> dict[str, str]:
    """The version of this server, for the footer."""
    return {"version": settings.VERSION}
