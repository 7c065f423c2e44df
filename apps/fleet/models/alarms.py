"""What is wrong with the fleet as a whole. The rows are derived: a chore rebuilds them (`apps.fleet.checksums`)."""

from django.db import models
from django.db.models.functions import Now

from apps.fleet.models.fields import BytewiseCharField


class ChecksumConflict(models.Model):
    """One package version that the fleet has more than one file for.

    `files` are [{"sha256", "filename", "endpoints", "names", "repositories", "revisions"}]: how many endpoints see the
    file in their repositories, the names of at most ten, and the target revisions that hold it (`pool #3`).
    """

    name = BytewiseCharField(max_length=255)
    version = BytewiseCharField(max_length=255)
    arch = BytewiseCharField(max_length=32)
    files = models.JSONField()
    since = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["name", "version", "arch"], name="checksum_conflict_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.version} {self.arch}"
