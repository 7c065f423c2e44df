"""The index of packages: which states have which package version. Derived from states (`apps.fleet.package_index`).

A segment is up to 256 states, each with a slot in it (`State.segment`, `State.slot`); a posting says which slots of a
segment have one package version. No foreign keys: rows of what is gone are harmless, and an instance of the release
before knows none of these tables.
"""

from django.db import models
from django.db.models.functions import Now


class IndexSegment(models.Model):
    """A batch of states that was put into the index together. Its number is its key, and is never used twice."""

    states = models.PositiveSmallIntegerField()
    created = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"segment {self.pk}"


class Posting(models.Model):
    """`bits` has bit number `slot` set for each state of the segment that has the package version.

    Bit 0 is the least significant one of the first byte, as PostgreSQL's get_bit counts them; always 32 bytes.
    """

    version = models.IntegerField()  # the key of the PackageVersion
    segment = models.IntegerField()
    bits = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["version", "segment"], name="posting_unique")]
        indexes = [models.Index(fields=["segment"], name="posting_segment")]

    def __str__(self) -> str:
        return f"version {self.version} in segment {self.segment}"
