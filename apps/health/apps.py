"""Checks, health views and the healthcheck command. Knows nothing of the REST API or the dashboard."""

from django.apps import AppConfig
from django.db.backends.signals import connection_created


class HealthConfig(AppConfig):
    name = "apps.health"
    label = "health"

    def ready(self) -> None:
        """Have the background work start with each process that serves; nothing starts here."""
        from apps.health import figures, process
        from apps.lifecycle import loops

        connection_created.connect(process.watch_statements, dispatch_uid="health")
        loops.register("health-checker", 60.0, process.start, everywhere=True, while_draining=True)
        loops.register("health-figures", figures.INTERVAL, figures.refresh, while_draining=True)
        interval = figures.INSTANCES_INTERVAL
        loops.register("health-instances", interval, figures.refresh_instances, while_draining=True)
