"""Pools and their append-only target revisions."""

from django.db import models
from django.db.models.functions import Now

from apps.fleet.models.fields import BytewiseCharField
from apps.fleet.names import NAME_MAX_LENGTH, validate_name


class ConflictResolution(models.TextChoices):
    """What automatic sync does with an endpoint that is ahead or diverged (an operator may always sync it by hand)."""

    MANUAL = "manual", "manual: only endpoints that are behind"
    NEWEST = "newest", "newest: never downgrade a package automatically"
    OLDEST = "oldest", "oldest: always to the target, downgrades included"


class Pool(models.Model):
    """A group of endpoints that share one target, and the policy for them."""

    name = BytewiseCharField(max_length=NAME_MAX_LENGTH, unique=True, validators=[validate_name])
    description = models.CharField(max_length=500, blank=True)
    # The newest target revision; null before the first. Changed only under a lock of this row.
    target = models.ForeignKey(
        "TargetRevision", on_delete=models.SET_NULL, null=True, blank=True, editable=False, related_name="+"
    )
    auto_sync = models.BooleanField(default=False)
    excluded_packages = models.JSONField(default=list, blank=True)  # shell patterns, as in IgnorePkg
    conflict_resolution = models.CharField(
        max_length=6, choices=ConflictResolution.choices, default=ConflictResolution.MANUAL
    )
    # Whether `pacsync-agent set-latest` on an endpoint may set the target of the endpoint's own pool.
    endpoints_may_set_target = models.BooleanField(default=True)
    # How many past states of each endpoint are kept.
    retention = models.PositiveIntegerField(default=50)
    created = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(conflict_resolution__in=ConflictResolution.values),
                name="pool_conflict_resolution_known",
            ),
            models.CheckConstraint(condition=models.Q(retention__gte=1), name="pool_retention_positive"),
        ]

    def __str__(self) -> str:
        return self.name


class TargetRevision(models.Model):
    """What a pool's target was, from its creation to the next revision. Rows are only ever added."""

    pool = models.ForeignKey(Pool, on_delete=models.CASCADE, related_name="revisions")
    number = models.PositiveIntegerField()
    state = models.ForeignKey("State", on_delete=models.PROTECT, related_name="+")
    source_endpoint = models.ForeignKey("Endpoint", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    # Where the source had its packages from, kept because mirrors move on:
    # [{"name": "core", "digest": <repository digest>, "mirrors": ["https://…"]}]
    repositories = models.JSONField(default=list)
    # The number of the revision that this one went back to or, with `promoted_from`, was promoted from.
    copied_number = models.PositiveIntegerField(null=True)
    promoted_from = models.CharField(max_length=NAME_MAX_LENGTH, blank=True)
    author = models.CharField(max_length=200)
    comment = models.CharField(max_length=500, blank=True)
    created = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["pool", "number"], name="target_revision_number_unique"),
            models.CheckConstraint(condition=models.Q(number__gte=1), name="target_revision_number_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.pool.name} #{self.number}"
