"""The life of one process and one instance: phases, tracked work, cleanup, the registry.

It must not know about packages.
"""

from django.apps import AppConfig


class LifecycleConfig(AppConfig):
    name = "apps.lifecycle"
    label = "lifecycle"

    def ready(self) -> None:
        from django.conf import settings

        from apps.lifecycle import registry, system_checks
        from apps.lifecycle.dbpool import facade
        from apps.lifecycle.work import chores, cleanup, deferred_writes, loops, worker_upkeep

        system_checks.register_all()
        worker_upkeep.register(registry.beat_if_needed)
        loops.register(registry.HEARTBEAT, settings.INSTANCE_HEARTBEAT_INTERVAL, registry.beat, while_draining=True)
        loops.register("dbpool", settings.DB_POOL_CHECK_INTERVAL, facade.maintain, everywhere=True, while_draining=True)
        loops.register(
            "deferred-writes", deferred_writes.INTERVAL, deferred_writes.flush, everywhere=True, while_draining=True
        )
        chores.register_chore("prune-instances", 600, registry.prune)
        cleanup.register_cleanup_task(registry.remove, name="registry")
        cleanup.register_cleanup_task(deferred_writes.flush, name="deferred_writes")
