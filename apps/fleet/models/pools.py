"""Pools and their append-only target revisions."""

import uuid

from django.db import models
from django.db.models.functions import Now

from apps.fleet import limits
from apps.fleet.models.fields import BytewiseCharField
from apps.fleet.models.roles import PERMISSIONS
from apps.fleet.names import NAME_MAX_LENGTH, validate_name


class ConflictResolution(models.TextChoices):
    """What automatic sync does with an endpoint that is ahead or diverged (an operator may always sync it by hand)."""

    MANUAL = "manual", "manual: only endpoints that are behind"
    NEWEST = "newest", "newest: never downgrade a package automatically"
    OLDEST = "oldest", "oldest: always to the target, downgrades included"


class Pool(models.Model):
    """A group of endpoints that share one target, and the policy for them."""

    name = BytewiseCharField(max_length=NAME_MAX_LENGTH, unique=True, validators=[validate_name])
    description = models.CharField(max_length=limits.DESCRIPTION_LENGTH, blank=True)
    # The newest target revision; null before the first. Changed only under a lock of this row.
    target = models.ForeignKey(
        "TargetRevision", on_delete=models.SET_NULL, null=True, blank=True, editable=False, related_name="+"
    )
    auto_sync = models.BooleanField(default=False)
    excluded_packages = models.JSONField(default=list, blank=True)  # shell patterns, as in IgnorePkg
    conflict_resolution = models.CharField(
        max_length=6, choices=ConflictResolution.choices, default=ConflictResolution.MANUAL
    )
    # Whether automatic sync waits for an operator's approval of a target that an endpoint set.
    endpoint_targets_need_approval = models.BooleanField(default=False, db_default=False)
    # How many past states of each endpoint are kept.
    retention = models.PositiveIntegerField(default=50)
    # The highest revision number that anybody has seen: the next one is above it (`apps.fleet.restored_database`).
    highest_number = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    # Revisions up to this number that aren't here were lost with a restored database, as an operator confirmed.
    lost_through = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    # Since when automatic sync is paused, because an endpoint has seen a revision that isn't here; null if it isn't.
    paused_since = models.DateTimeField(null=True, editable=False)
    # That endpoint and revision: {"endpoint": name, "number": 7, "digest": …, "present": {"number": 5, "digest": …}}.
    paused_by = models.JSONField(null=True, editable=False)
    # What signed revisions name it by, even after it was renamed; null if an older release made it.
    identity = models.UUIDField(default=uuid.uuid4, null=True, unique=True, editable=False)
    created = models.DateTimeField(db_default=Now())

    class Meta:
        permissions = PERMISSIONS  # of the fleet as a whole: the roles stand for them
        constraints = [
            models.CheckConstraint(
                condition=models.Q(conflict_resolution__in=ConflictResolution.values),
                name="pool_conflict_resolution_known",
            ),
            models.CheckConstraint(condition=models.Q(retention__gte=1), name="pool_retention_positive"),
            models.CheckConstraint(
                condition=models.Q(paused_since__isnull=True, paused_by__isnull=True)
                | models.Q(paused_since__isnull=False, paused_by__isnull=False),
                name="pool_paused_with_its_cause",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def target_needs_approval(self) -> bool:
        """Whether the policy wants somebody to approve the target, and nobody has."""
        return self.endpoint_targets_need_approval and self.target is not None and not self.target.approved


class TargetFiles(models.Model):
    """The files behind the packages of a target, as its source's databases had them; shared by equal revisions.

    `digest` is the sha-256 (hex) over the canonical text, see `apps.fleet.alpm.target_files`;
    `files` is that text, compressed with zlib.
    """

    digest = BytewiseCharField(max_length=64, primary_key=True)
    file_count = models.PositiveIntegerField()
    files = models.BinaryField()
    created = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "target files"

    def __str__(self) -> str:
        return self.digest[:12]


class TargetRevision(models.Model):
    """What a pool's target was, from its creation to the next revision. Rows are only ever added.

    Only `approved` ever changes, and only once, to true; and `signed_until`, with its RevisionSignature.
    """

    pool = models.ForeignKey(Pool, on_delete=models.CASCADE, related_name="revisions")
    number = models.PositiveIntegerField()
    state = models.ForeignKey("State", on_delete=models.PROTECT, related_name="+")
    source_endpoint = models.ForeignKey("Endpoint", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    # Where the source had its packages from, kept because mirrors move on:
    # [{"name": "core", "digest": <repository digest>, "mirrors": ["https://…"]}]
    repositories = models.JSONField(default=list)
    # The file behind each package; null in a revision of a release that didn't record them.
    files = models.ForeignKey(TargetFiles, on_delete=models.PROTECT, null=True, editable=False, related_name="+")
    # What the target leaves alone, with why: [{"name": "yay", "why": "foreign"}]; null as above.
    unmanaged = models.JSONField(null=True)
    # The sha-256 (hex) over state, files and unmanaged names (`apps.fleet.revisions`); null as above.
    digest = BytewiseCharField(max_length=64, null=True, editable=False)
    # Whether automatic sync may bring endpoints to it where the pool's policy wants an approval.
    approved = models.BooleanField(default=True, db_default=True)
    # Until when its signature is good; null while it isn't signed.
    signed_until = models.DateTimeField(null=True, editable=False)
    # The number of the revision that this one went back to or, with `promoted_from`, was promoted from.
    copied_number = models.PositiveIntegerField(null=True)
    promoted_from = models.CharField(max_length=NAME_MAX_LENGTH, blank=True)
    author = models.CharField(max_length=200)
    comment = models.CharField(max_length=limits.COMMENT_LENGTH, blank=True)
    created = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["pool", "number"], name="target_revision_number_unique"),
            models.CheckConstraint(condition=models.Q(number__gte=1), name="target_revision_number_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.pool.name} #{self.number}"


class RevisionSignature(models.Model):
    """The text of a revision that an operator signed, and the signature: machines that trust keys verify it.

    The server knows no keys: `issuer` is only what the signature says about its key.
    """

    # Without a constraint of the database: an instance of the release before deletes revisions and not these.
    revision = models.OneToOneField(
        TargetRevision, on_delete=models.CASCADE, related_name="signature", db_constraint=False
    )
    document = models.BinaryField()  # compressed with zlib (`apps.fleet.alpm.revision_document`)
    signature = models.BinaryField()  # one OpenPGP signature packet
    issuer = models.CharField(max_length=64, blank=True)  # fingerprint or key id in upper-case hex
    signed = models.DateTimeField()  # the document's `created`
    author = models.CharField(max_length=200)
    created = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"signature of {self.revision_id}"
