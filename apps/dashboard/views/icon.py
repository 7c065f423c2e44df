"""The icon under the address that browsers guess."""

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.templatetags.static import static
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe


@require_safe
@cache_control(public=True, max_age=24 * 3600)
def favicon(request: HttpRequest) -> HttpResponse:
    """To the icon's own address, which may have a hash in it."""
    return HttpResponseRedirect(static("pacsync/favicon.svg"))
