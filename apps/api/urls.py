"""The paths below /api/v1/: the API's own, its document and its documentation page."""

from apps.api.api import api

_patterns, _app_name, _namespace = api.urls
app_name = "api"
urlpatterns = _patterns
