"""The page for a form whose origin or CSRF token is not this site's. It must not know the forms."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import REASON_BAD_ORIGIN, REASON_BAD_REFERER
from django.shortcuts import render

# The beginnings of Django's reasons that are about the address. All others are about the token or its cookie.
_ABOUT_ADDRESS = tuple(reason.partition("%s")[0] for reason in (REASON_BAD_ORIGIN, REASON_BAD_REFERER))
_LENGTH = 200


def failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403, with the expected origin and the one that came, or with the hint that the form was too old. No query."""
    context = {
        "about_address": reason.startswith(_ABOUT_ADDRESS),
        "origin": request.headers.get("Origin", request.headers.get("Referer", ""))[:_LENGTH],
        "expected": f"{request.scheme}://{request.get_host()}",
        "trusted": settings.CSRF_TRUSTED_ORIGINS[:10],
    }
    return render(request, "403_csrf.html", context, status=403)
