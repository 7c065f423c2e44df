"""The domain: pools, endpoints, states, operations. Knows nothing of HTTP."""

from django.apps import AppConfig


class FleetConfig(AppConfig):
    name = "apps.fleet"
    label = "fleet"

    def ready(self) -> None:
        from django.db.models.signals import post_migrate, pre_delete

        from apps.fleet import chores, roles, tokens
        from apps.lifecycle.work import deferred_writes

        chores.register()
        deferred_writes.register(tokens.USES, tokens.write_uses)
        post_migrate.connect(roles.set_up_groups, dispatch_uid="apps.fleet.roles")
        pre_delete.connect(tokens.record_deletion, sender="fleet.ApiToken", dispatch_uid="apps.fleet.tokens")
