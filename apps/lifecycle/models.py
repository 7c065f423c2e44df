"""The instance registry: one row per running server, so that any instance can show all of them."""

import uuid
from datetime import timedelta

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

PRUNE_AFTER = timedelta(days=1)


def lost_after() -> timedelta:
    """How old the heartbeat of an instance may be before it counts as lost: three intervals."""
    return timedelta(seconds=3 * settings.INSTANCE_HEARTBEAT_INTERVAL)


class InstanceQuerySet(models.QuerySet["Instance"]):
    """The database's clock decides which instances are alive, so that no instance's own clock matters."""

    def alive(self) -> "InstanceQuerySet":
        return self.filter(heartbeat__gt=Now() - lost_after())

    def lost(self) -> "InstanceQuerySet":
        """No heartbeat for three intervals, and no clean shutdown: killed, or cut off from the database."""
        return self.filter(heartbeat__lte=Now() - lost_after())

    def forgotten(self) -> "InstanceQuerySet":
        """Lost for longer than PRUNE_AFTER, and so no longer shown."""
        return self.filter(heartbeat__lte=Now() - PRUNE_AFTER)


class Instance(models.Model):
    """One running server. `heartbeat` is on the database's clock; an old one means that the instance is lost."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=255)
    version = models.CharField(max_length=32)
    started = models.DateTimeField(db_default=Now())
    heartbeat = models.DateTimeField(db_default=Now())
    phase = models.CharField(max_length=10)
    workers = models.PositiveIntegerField(default=0)
    # The numbers of its dbpool, as in /health/detailed.
    dbpool = models.JSONField(default=dict)

    objects = InstanceQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["heartbeat"], name="instance_heartbeat")]

    def __str__(self) -> str:
        return self.name
