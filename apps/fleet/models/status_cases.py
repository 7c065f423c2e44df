"""What comparisons of states with targets found, so that every instance finds it (`apps.fleet.status_cases`)."""

from django.db import models
from django.db.models.functions import Now

from apps.fleet.models.fields import BytewiseCharField


class StatusCase(models.Model):
    """The result for every endpoint that is equal in all of these columns. Rows are added and removed, never changed.

    No foreign keys: a row keeps no state and no revision, and outlives neither for long (`fleet_statuses.trim`).
    """

    # The digest (hex) of all that the result depends on.
    key = BytewiseCharField(max_length=32, primary_key=True)
    revision = models.BigIntegerField()
    state = BytewiseCharField(max_length=64)
    arch = models.CharField(max_length=32)
    holds = models.JSONField()
    foreign = models.JSONField()
    excluded = models.JSONField()
    package_limit = models.PositiveIntegerField()
    # Which rules were compared by: `status_cases.RULES` of the instance that added the row.
    rules = models.PositiveSmallIntegerField(db_default=1)
    # in_sync, behind, ahead or diverged; or why it is `unknown`: other_architecture or not_compared.
    verdict = models.CharField(max_length=20)
    # How many changes of each kind: {"upgrade": 3}; null if they weren't compared.
    kinds = models.JSONField(null=True)
    created = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["revision", "state"], name="status_case_by_states")]

    def __str__(self) -> str:
        return f"{self.state[:12]} with revision {self.revision}: {self.verdict}"
