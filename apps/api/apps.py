"""The REST API /api/v1. Thin routes: it parses, calls apps.fleet, renders."""

from django.apps import AppConfig


class ApiConfig(AppConfig):
    name = "apps.api"
    label = "api"

    def ready(self) -> None:
        """Have the OpenAPI document made with the server's start: each schema is looked at for it."""
        from apps.lifecycle import loading

        loading.register("the API's description", make_description)


def make_description() -> None:
    from apps.api.api import api

    api.get_openapi_schema()
