"""The page of a form that was refused because its origin or its token isn't this site's. It must not know the forms."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import REASON_BAD_ORIGIN, REASON_BAD_REFERER
from django.shortcuts import render

# How Django's reasons begin where the address is what doesn't fit; all others are about the token or its cookie.
_ABOUT_ADDRESS = tuple(reason.partition("%s")[0] for reason in (REASON_BAD_ORIGIN, REASON_BAD_REFERER))
_LENGTH = 200


def failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403: the origin that was expected and the one that came, or that the form was too old. No database is asked."""
    context = {
        "about_address": reason.startswith(_ABOUT_ADDRESS),
        "origin": request.headers.get("Origin", request.headers.get("Referer", ""))[:_LENGTH],
        "expected": f"{request.scheme}://{request.get_host()}",
        "trusted": settings.CSRF_TRUSTED_ORIGINS[:10],
    }
    return render(request, "403_csrf.html", context, status=403)
