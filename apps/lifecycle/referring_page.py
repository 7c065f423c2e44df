"""The page of this server from which a request came. It must not know which pages there are."""

from urllib.parse import urlsplit

from django.http import HttpRequest
from django.utils.http import url_has_allowed_host_and_scheme


def page(request: HttpRequest) -> str:
    """Its path and query from the Referer; empty if that is missing or names another server."""
    referrer = request.headers.get("Referer", "")
    if not url_has_allowed_host_and_scheme(referrer, {request.get_host()}, require_https=request.is_secure()):
        return ""
    found = urlsplit(referrer)._replace(scheme="", netloc="", fragment="").geturl()
    return "" if found.startswith("//") else found  # a browser would take that as another host
