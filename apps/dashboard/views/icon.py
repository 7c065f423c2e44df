"""The icon at the address that browsers try automatically."""

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.templatetags.static import static
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe


@require_safe
@cache_control(public=True, max_age=24 * 3600)
def favicon(request: HttpRequest) -> HttpResponse:
    """Redirects to the icon's own address, whose name may contain a hash."""
    return HttpResponseRedirect(static("pacsync/favicon.svg"))
