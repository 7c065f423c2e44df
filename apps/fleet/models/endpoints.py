"""Endpoints: the machines, what they reported last, and what they reported before."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from apps.fleet import limits
from apps.fleet.models.fields import BytewiseCharField
from apps.fleet.names import NAME_MAX_LENGTH, validate_name

# An endpoint that was silent for longer than this number of poll intervals is offline.
OFFLINE_AFTER_POLLS = 3
# `enroll` itself reports once, within this time: a slow machine uploads large databases for the first time.
ENROLMENT_TAKES = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class AlsoRead:
    """What was read in the same statement as an endpoint (`apps.fleet.reporting_endpoint`), for its check-in.

    `repositories` has name, digest and mirrors of each, in pacman's order; `has_operation`: it has an active one.
    `verdict` is that of its case (`StatusCase`); None if there is no case, or nobody has compared it yet.
    """

    repositories: list[tuple[str, str, list[str]]]
    has_operation: bool
    verdict: str | None


class EndpointQuerySet(models.QuerySet["Endpoint"]):
    def with_target(self) -> Self:
        """With state, pool and the pool's target, as goals and lists need them."""
        return self.select_related("state", "pool__target__state")


class Endpoint(models.Model):
    """One Arch machine. Its status is derived (`apps.fleet.status`), never stored and never asserted by a client."""

    name = BytewiseCharField(max_length=NAME_MAX_LENGTH, unique=True, validators=[validate_name])
    pool = models.ForeignKey("Pool", on_delete=models.SET_NULL, null=True, blank=True, related_name="endpoints")
    # sha-256 (hex) of the endpoint's token; null when it was revoked.
    token_hash = BytewiseCharField(max_length=64, unique=True, null=True, editable=False)
    # When its token was revoked; null while it has one.
    revoked = models.DateTimeField(null=True, editable=False)
    # sha-256 (hex) of the token that its agent made and hasn't used yet: its first use makes it the token.
    next_token_hash = BytewiseCharField(max_length=64, unique=True, null=True, editable=False)
    # When an operator asked its agent to rotate the token; null when it has done so.
    rotation_requested = models.DateTimeField(null=True, editable=False)
    # Since when more than one machine has been reporting with its token (`apps.fleet.shared_tokens`).
    token_shared = models.DateTimeField(null=True, editable=False)
    # What that is told from; null as long as every report continued the one before.
    report_chains = models.JSONField(null=True, editable=False)
    # It enrolled while REQUIRE_APPROVAL was on, and no operator has approved it yet (`apps.fleet.approval`).
    awaits_approval = models.BooleanField(default=False, db_default=False, editable=False)
    arch = models.CharField(max_length=32)
    agent_version = models.CharField(max_length=limits.AGENT_VERSION_LENGTH, blank=True)
    state = models.ForeignKey(
        "State", on_delete=models.PROTECT, null=True, blank=True, editable=False, related_name="+"
    )
    # The number of the last accepted report; an older one is ignored.
    report_seq = models.BigIntegerField(default=0, editable=False)
    last_seen = models.DateTimeField(null=True, editable=False)
    # Shell patterns of the packages that the machine itself holds (IgnorePkg, and IgnoreGroup spelled out).
    holds = models.JSONField(default=list, editable=False)
    # Names of installed packages that are in none of its repositories and that no operation brought.
    foreign = models.JSONField(default=list, editable=False)
    # Names that no repository offers any more, but one did while exactly this build was installed: not foreign.
    dropped = models.JSONField(default=list, null=True, editable=False)  # null: an instance before this column wrote it
    # Whether it may make its own packages the target of its own pool.
    may_set_targets = models.BooleanField(default=False, db_default=False)
    # It came from another pool, and hasn't seen a revision of this one yet: what it has seen is the other pool's.
    pool_changed = models.BooleanField(default=False, db_default=False, editable=False)
    # What it found when it examined itself as the source of a target (`apps.fleet.examination`), newest report:
    # [{"code", "text", "names": […]}]; null when it said nothing about that.
    examination = models.JSONField(null=True, editable=False)
    # What it lets no operation remove (`apps.fleet.protection`), newest report; null when it said nothing about that.
    protected = models.JSONField(null=True, editable=False)
    # The keys whose signed revisions alone it follows (`apps.fleet.signed_revisions`), newest report:
    # {"keys": [fingerprint], "pool": identity, "accepted": number, "problem": code}; null: it follows every target.
    signing = models.JSONField(null=True, editable=False)
    # When somebody let automatic sync go on after it rested (`apps.fleet.paused_automatic_sync`).
    # What ended before doesn't count.
    sync_resumed = models.DateTimeField(null=True, editable=False)
    created = models.DateTimeField(db_default=Now())

    # No column: None unless its check-in reads it.
    also_read: AlsoRead | None = None

    objects = EndpointQuerySet.as_manager()

    class Meta:
        # No index has a column that an unchanged report writes (report_seq, last_seen): PostgreSQL then changes the row
        # in place (HOT), and no index grows.
        constraints = [models.CheckConstraint(condition=Q(report_seq__gte=0), name="endpoint_seq_positive")]

    def __str__(self) -> str:
        return self.name

    @property
    def is_as_enrolled(self) -> bool:
        """Whether nothing was heard from it since `enroll` reported: the agent hasn't run on its own yet."""
        return self.last_seen is not None and self.last_seen < self.created + ENROLMENT_TAKES


class EndpointState(models.Model):
    """One entry of an endpoint's history: from `at` it was in `state`, until the next entry."""

    class Cause(models.TextChoices):
        REPORT = "report", "reported"
        OPERATION = "operation", "result of an operation"

    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="history")
    seq = models.BigIntegerField()
    state = models.ForeignKey("State", on_delete=models.PROTECT, related_name="+")
    cause = models.CharField(max_length=9, choices=Cause.choices)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["endpoint", "seq"], name="endpoint_state_seq_unique")]

    def __str__(self) -> str:
        return f"{self.endpoint.name} #{self.seq}"


class EndpointRepository(models.Model):
    """One repository of an endpoint's pacman.conf, in the order in which pacman asks them."""

    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="repositories")
    position = models.PositiveIntegerField()
    name = BytewiseCharField(max_length=limits.REPOSITORY_NAME_LENGTH)
    content = models.ForeignKey("RepositoryContent", on_delete=models.PROTECT, related_name="+")
    mirrors = models.JSONField(default=list)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["endpoint", "position"], name="endpoint_repository_position_unique"),
            models.UniqueConstraint(fields=["endpoint", "name"], name="endpoint_repository_name_unique"),
        ]
        ordering = ["position"]
        verbose_name_plural = "endpoint repositories"

    def __str__(self) -> str:
        return f"{self.endpoint.name}/{self.name}"


class OfflinePeriod(models.Model):
    """An endpoint was offline after `since`, when it was last heard from, and until `until`, when it was back."""

    # Without a constraint of the database: an instance of the release before deletes endpoints and not these.
    endpoint = models.ForeignKey(
        Endpoint, on_delete=models.CASCADE, related_name="offline_periods", db_constraint=False, db_index=False
    )
    since = models.DateTimeField()
    until = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["endpoint", "until"], name="offline_period_by_endpoint")]

    def __str__(self) -> str:
        return f"{self.endpoint_id} since {self.since}"
