"""The health paths for Django, each with and without a trailing slash."""

from django.urls import re_path

from apps.health import wsgi
from apps.health.views import health, unknown_component

urlpatterns = [
    *(re_path(f"^{path.lstrip('/')}/?$", health, {"path": path}) for path in wsgi.PATHS),
    re_path(r"^health/components/[^/]+/?$", unknown_component),
]
