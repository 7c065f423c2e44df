"""The REST API /api/v1. Thin routes: it parses, calls apps.fleet, renders."""

from typing import Any

from django.apps import AppConfig

PREFIX = "/api/v1/"


class ApiConfig(AppConfig):
    name = "apps.api"
    label = "api"

    def ready(self) -> None:
        """Say which bodies are larger than others, and have the OpenAPI document made with the server's start."""
        from apps.api.body import REPOSITORY_LIMIT, STATE_LIMIT
        from apps.lifecycle import bodies, loading

        bodies.allow("PUT", f"{PREFIX}states/", STATE_LIMIT)
        bodies.allow("PUT", f"{PREFIX}repositories/", REPOSITORY_LIMIT)
        bodies.anonymous(f"{PREFIX}enroll")
        bodies.ask_with(refuse_strangers)
        loading.register("the API's description", make_description)


def refuse_strangers(environ: dict[str, Any]) -> tuple[int, str, str] | None:
    """As strangers.refused, which can't be imported before the apps are loaded."""
    from apps.api import strangers

    return strangers.refused(environ)


def make_description() -> None:
    """Each schema is looked at for it."""
    from apps.api.api import api

    api.get_openapi_schema()
