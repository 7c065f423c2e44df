"""The REST API /api/v1. Its routes are thin: they parse, call apps.fleet and render."""

from typing import Any

from django.apps import AppConfig

PREFIX = "/api/v1/"


class ApiConfig(AppConfig):
    name = "apps.api"
    label = "api"

    def ready(self) -> None:
        """Say which bodies may be larger than others, and have the OpenAPI document made when the server starts."""
        from apps.api.requests.body import REPOSITORY_LIMIT, STATE_LIMIT
        from apps.fleet import signed_revisions
        from apps.lifecycle import preloading
        from apps.lifecycle.wsgi import body_limits

        body_limits.allow("PUT", f"{PREFIX}states/", STATE_LIMIT)
        body_limits.allow("PUT", f"{PREFIX}repositories/", REPOSITORY_LIMIT)
        body_limits.allow("PUT", f"{PREFIX}pools/", signed_revisions.LIMIT)
        body_limits.keep_short(f"{PREFIX}enroll")
        body_limits.check_senders_with(refuse_strangers)
        preloading.register("the API's description", make_description)


def refuse_strangers(environ: dict[str, Any]) -> tuple[int, str, str] | None:
    """Calls `unauthenticated_bodies.refused`, which can't be imported before the apps are loaded."""
    from apps.api.access import unauthenticated_bodies

    return unauthenticated_bodies.refused(environ)


def make_description() -> None:
    """Make the OpenAPI document, which needs every schema."""
    from apps.api.api import api

    api.get_openapi_schema()
