"""The tables: the current list, its advisories with their packages, and how many of them concern each state.

Rules that must always hold are constraints here. A list is replaced as a whole, in one transaction.
"""

from django.db import models
from django.db.models import Q

from apps.fleet.models import State
from apps.fleet.models.fields import BytewiseCharField

from .severity import Severity

ONLY = 1
"""The key of the one row of TrackerList."""


class TrackerList(models.Model):
    """The list that is used now, and how the last attempt to get it ended. One row; times are the database's."""

    # A new number for each list with other content; 0 before the first. What was compared names it.
    generation = models.PositiveIntegerField(default=0)
    # The sha-256 (hex) of the entries, whatever their order and layout.
    digest = models.CharField(max_length=64, blank=True)
    # Where it came from, without what may be a secret of an address.
    source = models.CharField(max_length=1000, blank=True)
    etag = models.CharField(max_length=1000, blank=True)
    last_modified = models.CharField(max_length=100, blank=True)
    size = models.PositiveIntegerField(default=0)  # bytes
    advisory_count = models.PositiveIntegerField(default=0)
    # How old it is counts from here: when the tracker last said that this is its list; for a file, when it was written.
    as_of = models.DateTimeField(null=True)
    # When an attempt last began, and when one last ended well.
    attempted = models.DateTimeField(null=True)
    succeeded = models.DateTimeField(null=True)
    # The last attempt that ended badly, even if a later one ended well.
    failed = models.DateTimeField(null=True)
    failure_code = models.CharField(max_length=50, blank=True)
    failure = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(pk=ONLY), name="tracker_list_is_one_row"),
            models.CheckConstraint(
                condition=Q(generation=0, as_of=None) | Q(generation__gte=1, as_of__isnull=False),
                name="tracker_list_has_its_age",
            ),
        ]

    def __str__(self) -> str:
        return f"list {self.generation}"

    @property
    def is_failing(self) -> bool:
        """Whether the last attempt that ended has ended badly."""
        return self.failed is not None and (self.succeeded is None or self.succeeded < self.failed)


class Advisory(models.Model):
    """One entry of the current list (an AVG: a group of vulnerabilities)."""

    name = BytewiseCharField(max_length=64, unique=True)
    severity = models.PositiveSmallIntegerField(choices=[(int(one), one.word) for one in Severity])
    status = models.CharField(max_length=64)
    kind = models.CharField(max_length=255, blank=True)
    affected = models.CharField(max_length=255, blank=True)
    # The first version without it; null while there is none.
    fixed = models.CharField(max_length=255, null=True)  # noqa: DJ001 - the tracker distinguishes the two
    ticket = models.CharField(max_length=255, blank=True)
    issues = models.JSONField(default=list)  # names of CVEs
    announcements = models.JSONField(default=list)  # names of ASAs

    class Meta:
        verbose_name_plural = "advisories"

    def __str__(self) -> str:
        return self.name


class AdvisoryPackage(models.Model):
    """A package that an advisory is about. Only those of advisories that can affect a package are kept."""

    advisory = models.ForeignKey(Advisory, on_delete=models.CASCADE, related_name="packages")
    package = BytewiseCharField(max_length=255)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["package", "advisory"], name="advisory_package_unique")]

    def __str__(self) -> str:
        return f"{self.advisory_id}: {self.package}"


class StateVulnerabilities(models.Model):
    """What the list of `generation` says about a state that an endpoint is in, or that is a pool's target.

    A row of another generation is as good as none: the state isn't compared yet. `versions` is the sorted array of
    little-endian unsigned 32-bit keys of the affected PackageVersions. The counts are of advisories.
    """

    # Without a constraint of the database: an instance of the release before removes states and not these.
    state = models.OneToOneField(
        State, on_delete=models.CASCADE, primary_key=True, db_constraint=False, related_name="vulnerabilities"
    )
    generation = models.PositiveIntegerField()
    worst = models.PositiveSmallIntegerField(choices=[(int(one), one.word) for one in Severity])
    versions = models.BinaryField()
    critical = models.PositiveIntegerField(default=0)
    high = models.PositiveIntegerField(default=0)
    medium = models.PositiveIntegerField(default=0)
    low = models.PositiveIntegerField(default=0)
    unknown = models.PositiveIntegerField(default=0)

    class Meta:
        indexes = [models.Index(fields=["generation", "worst"], name="state_vulnerabilities_worst")]
        verbose_name_plural = "state vulnerabilities"

    def __str__(self) -> str:
        return f"{self.state_id[:12]} by list {self.generation}"
