"""The REST API /api/v1. Thin routes: it parses, calls apps.fleet, renders."""

from django.apps import AppConfig

PREFIX = "/api/v1/"


class ApiConfig(AppConfig):
    name = "apps.api"
    label = "api"

    def ready(self) -> None:
        """Which bodies are larger than others, and which come from strangers."""
        from apps.api.body import REPOSITORY_LIMIT, STATE_LIMIT
        from apps.lifecycle import bodies

        bodies.allow("PUT", f"{PREFIX}states/", STATE_LIMIT)
        bodies.allow("PUT", f"{PREFIX}repositories/", REPOSITORY_LIMIT)
        bodies.anonymous(f"{PREFIX}enroll")
