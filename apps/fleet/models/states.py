"""Content-addressed package sets: what an endpoint has installed, what a repository offers. They know no endpoint."""

from django.db import models
from django.db.models.functions import Now

from apps.fleet.models.fields import BytewiseCharField


class PackageVersion(models.Model):
    """One (name, version, arch), interned: states hold its id instead of its text."""

    name = BytewiseCharField(max_length=255)
    version = BytewiseCharField(max_length=255)
    arch = BytewiseCharField(max_length=32)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["name", "version", "arch"], name="package_version_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.version} {self.arch}"


class State(models.Model):
    """An immutable set of installed packages, shared by all endpoints that are in it.

    `digest` is the sha-256 (hex) over the canonical text, see `apps.fleet.alpm.state`. `packages` is the sorted
    array of little-endian unsigned 32-bit numbers `PackageVersion id << 1 | is_dependency` (8.5 kB for 1,500 packages).
    """

    digest = BytewiseCharField(max_length=64, primary_key=True)
    arch = models.CharField(max_length=32)
    package_count = models.PositiveIntegerField()
    packages = models.BinaryField()
    created = models.DateTimeField(db_default=Now())
    # Where the index of packages has it (`models.packages`); null while it isn't in the index.
    segment = models.IntegerField(null=True, editable=False)
    slot = models.SmallIntegerField(null=True, editable=False)

    class Meta:
        indexes = [
            models.Index(fields=["created"], name="state_created"),
            models.Index(fields=["segment"], name="state_segment", condition=models.Q(segment__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.digest[:12]


class RepositoryContent(models.Model):
    """What one sync database offered at one time, shared by all endpoints that see the same.

    `digest` is the sha-256 (hex) over the canonical text, see `apps.fleet.alpm.repository`;
    `packages` is that text, compressed with zlib.
    """

    digest = BytewiseCharField(max_length=64, primary_key=True)
    package_count = models.PositiveIntegerField()
    packages = models.BinaryField()
    created = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["created"], name="repository_content_created")]

    def __str__(self) -> str:
        return self.digest[:12]
