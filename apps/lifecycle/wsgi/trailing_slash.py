"""Redirects a URL with one slash too many, or one too few, to the right one. It must not know any particular URL.

It answers 308, so that a program's POST stays a POST. Only a URL without a view is redirected: a view that finds
nothing keeps its 404.
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.urls import Resolver404, ResolverMatch, resolve

# The admin's last view and the root of the API have a URL, and always answer 404.
_FINDS_NOTHING = ("catch_all_view", "default_home")


class TrailingSlashMiddleware:
    """Innermost, so that it sees only what the other layers let through."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if response.status_code != 404 or not _has_no_view(request.resolver_match):
            return response
        path = request.path_info
        other = path.rstrip("/") if path.endswith("/") else f"{path}/"
        # A second slash in front would make it the address of another host.
        if not other or other.startswith("//") or not _is_known(other):
            return response
        target, _, query = request.get_full_path().partition("?")
        target = target.rstrip("/") if path.endswith("/") else f"{target}/"
        return HttpResponse(status=308, headers={"Location": f"{target}?{query}" if query else target})


def _is_known(path: str) -> bool:
    try:
        return not _has_no_view(resolve(path))
    except Resolver404:
        return False


def _has_no_view(match: ResolverMatch | None) -> bool:
    if match is None:
        return True
    view = getattr(match.func, "func", match.func)  # the function inside a partial
    return getattr(view, "__name__", "") in _FINDS_NOTHING
