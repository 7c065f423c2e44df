"""The same answers through Django, for servers without `ProbeLayer`: the test client, another WSGI or ASGI server."""

from django.http import HttpRequest, HttpResponse

from apps.health import wsgi
from apps.health.checking import process_checker
from apps.health.detailed import inspection
from apps.health.response import Response


def health(request: HttpRequest, path: str) -> HttpResponse:
    """Answer `path` as `ProbeLayer` would. If no checker runs in the background, the checks run here and now."""
    checker = process_checker.checker()
    if not checker.running and not checker.fresh:
        checker.step()
    return _response(wsgi.answer(request.META, path))


def unknown_component(request: HttpRequest) -> HttpResponse:
    """The answer under /health/components to a name that no layer knows."""
    return _response(inspection.unknown(request.META))


def _response(answer: Response) -> HttpResponse:
    response = HttpResponse(answer.body, status=int(answer.status[:3]), content_type=answer.content_type)
    for name, value in answer.more_headers():
        response[name] = value
    return response
