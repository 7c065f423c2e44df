"""The life of one process and one instance: phases, tracked work, cleanup, the registry.

It knows nothing of packages.
"""

from django.apps import AppConfig


class LifecycleConfig(AppConfig):
    name = "apps.lifecycle"
    label = "lifecycle"

    def ready(self) -> None:
        from django.conf import settings

        from apps.lifecycle import bookkeeping, checks, chores, cleanup, dbpool, loops, registry

        checks.register_all()
        loops.register("board", 1, registry.tick, everywhere=True, while_draining=True)
        loops.register(registry.HEARTBEAT, settings.INSTANCE_HEARTBEAT_INTERVAL, registry.beat, while_draining=True)
        loops.register("dbpool", settings.DB_POOL_CHECK_INTERVAL, dbpool.wake, everywhere=True, while_draining=True)
        loops.register("bookkeeping", bookkeeping.INTERVAL, bookkeeping.flush, everywhere=True, while_draining=True)
        chores.register_chore("prune-instances", 600, registry.prune)
        cleanup.register_cleanup_task(registry.remove, name="registry")
        cleanup.register_cleanup_task(bookkeeping.flush, name="bookkeeping")
