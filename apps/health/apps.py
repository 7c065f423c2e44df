"""Checks, health views and the healthcheck command. It must not know about the REST API or the dashboard."""

from django.apps import AppConfig
from django.db.backends.signals import connection_created


class HealthConfig(AppConfig):
    name = "apps.health"
    label = "health"

    def ready(self) -> None:
        """Register the background work, which starts in each process that serves; nothing starts here."""
        from apps.health.checking import process_checker
        from apps.health.detailed import fleet_summary
        from apps.health.probes import PROBES
        from apps.lifecycle.gunicorn import probe_paths
        from apps.lifecycle.work import loops

        probe_paths.register(PROBES)
        connection_created.connect(process_checker.watch_statements, dispatch_uid="health")
        loops.register(
            "health-checker", process_checker.TICK, process_checker.tick, everywhere=True, while_draining=True
        )
        loops.register("health-fleet", fleet_summary.INTERVAL, fleet_summary.refresh, while_draining=True)
        interval = fleet_summary.INSTANCES_INTERVAL
        loops.register("health-instances", interval, fleet_summary.refresh_instances, while_draining=True)
