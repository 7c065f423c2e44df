"""The domain: pools, endpoints, states, operations. Knows nothing of HTTP."""

from django.apps import AppConfig


class FleetConfig(AppConfig):
    name = "apps.fleet"
    label = "fleet"

    def ready(self) -> None:
        from apps.fleet import chores, tokens
        from apps.lifecycle.work import deferred_writes

        chores.register()
        deferred_writes.register(tokens.USES, tokens.write_uses)
