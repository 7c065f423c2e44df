"""Every URL of the server; each app brings its own. It must not hold a view."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v1/", include("apps.api.urls")),  # first: agents ask most often, and Django tries one after the other
    path("", include("apps.health.urls")),
    path("admin/", admin.site.urls),
    path("agent/", include("apps.agent.urls")),
    path("", include("apps.dashboard.urls")),
]
handler500 = "apps.dashboard.requests.server_error.server_error"
