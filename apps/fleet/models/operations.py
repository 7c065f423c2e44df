"""Operations: the queue, the lease and the result of one `sync` or `revert` of one endpoint are one row.

queued → leased → applying → succeeded | failed;  queued | leased → cancelled;  past its deadline: lost.
A lease that ran out while leased: queued again, at most MAX_ATTEMPTS times. A failure that will pass (a mirror, the
network, a full disk): queued again, after a pause (`apps.fleet.retries`). While applying: the endpoint's next
report decides it. `apps.fleet.transitions` has all of them in a table.
"""

import uuid
from typing import Self

from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Now

from apps.fleet import limits
from apps.fleet.models.fields import BytewiseCharField

MAX_ATTEMPTS = 3


class OperationKind(models.TextChoices):
    SYNC = "sync", "sync"
    REVERT = "revert", "revert"


class OperationStatus(models.TextChoices):
    QUEUED = "queued", "queued"
    LEASED = "leased", "leased"
    APPLYING = "applying", "applying"
    SUCCEEDED = "succeeded", "succeeded"
    FAILED = "failed", "failed"
    CANCELLED = "cancelled", "cancelled"
    LOST = "lost", "lost"


CLAIMED = (OperationStatus.LEASED, OperationStatus.APPLYING)
CANCELLABLE = (OperationStatus.QUEUED, OperationStatus.LEASED)  # pacman has not been started
ACTIVE = (OperationStatus.QUEUED, *CLAIMED)
# The code of a result: the packages are the target's, but files on the disk aren't the packages'.
FILES_DIFFER = "files_differ"
# Codes of results: health commands of the machine failed afterwards. It stayed so, a sync was reverted, or couldn't be.
HEALTH_CHECK_FAILED = "health_check_failed"
UNHEALTHY = (HEALTH_CHECK_FAILED, "health_check_reverted", "health_revert_failed")
FINAL = tuple(status for status in OperationStatus if status not in ACTIVE)
WENT_WRONG = (OperationStatus.FAILED, OperationStatus.LOST)
# It brought its endpoint to its target's packages: all of its files or not, healthy or not.
REACHED = (
    Q(status=OperationStatus.SUCCEEDED)
    | Q(status=OperationStatus.FAILED, result__code=FILES_DIFFER)
    | Q(status=OperationStatus.FAILED, result__code__in=UNHEALTHY, end_state=F("target_state"))
)


class OperationQuerySet(models.QuerySet["Operation"]):
    def active(self) -> Self:
        """Queued, leased or applying: at most one for each endpoint."""
        return self.filter(status__in=ACTIVE)

    def final(self) -> Self:
        """Finished, one way or another."""
        return self.filter(status__in=FINAL)

    def claimed(self) -> Self:
        """Leased or applying: an agent has it, or had it when it was lost."""
        return self.filter(status__in=CLAIMED)

    def blocking(self) -> Self:
        """Active, and not replaced by an operation that is asked for now: one that waits for its next try would be."""
        return self.active().exclude(status=OperationStatus.QUEUED, retries__gt=0)

    def lease_live(self) -> Self:
        """Those whose agent may go on: the lease lasts, or pacman was started and no other agent can take it."""
        leased = Q(status=OperationStatus.LEASED, lease_until__gte=Now())
        return self.filter(Q(status=OperationStatus.APPLYING) | leased)

    def lease_expired(self) -> Self:
        """Leased or applying, and not heard from since the lease ran out."""
        return self.claimed().filter(lease_until__lt=Now())

    def claimable(self) -> Self:
        """Those that an agent may lease now: queued or lost before pacman was started, and not waiting for a retry."""
        free = Q(status=OperationStatus.QUEUED) | Q(status=OperationStatus.LEASED, lease_until__lt=Now())
        due = Q(retry_at__isnull=True) | Q(retry_at__lte=Now())
        return self.filter(free, due, deadline__gt=Now(), attempt__lt=MAX_ATTEMPTS)

    def applied(self) -> Self:
        """Those that (may) have changed their endpoint, newest first."""
        began = Q(applying_since__isnull=False) | Q(status=OperationStatus.SUCCEEDED)
        return self.filter(began).order_by("-created", "-id")

    def reached(self) -> Self:
        """Those that brought their endpoint to their target's packages: all of its files or not, healthy or not."""
        return self.filter(REACHED)

    def newest(self) -> Self:
        """Those after which their endpoint has got no other."""
        return self._without_later(Operation.objects.all())

    def newest_final(self) -> Self:
        """Finished ones after which their endpoint has got no other that is finished."""
        return self.final()._without_later(Operation.objects.final())

    def newest_reached(self) -> Self:
        """Those that reached their target, after which their endpoint has got no other that did."""
        return self.reached()._without_later(Operation.objects.reached())

    def _without_later(self, others: "OperationQuerySet") -> Self:
        """Quick for few operations of many: each is looked up among those of its endpoint."""
        later = Q(created__gt=OuterRef("created")) | Q(created=OuterRef("created"), id__gt=OuterRef("id"))
        return self.filter(~Exists(others.filter(later, endpoint=OuterRef("endpoint"))))

    def with_names(self) -> Self:
        """With endpoint and target revision, as lists show them."""
        return self.select_related("endpoint", "revision__pool").defer("revision__unmanaged", "revision__repositories")


class Operation(models.Model):
    """One `sync` or `revert` of one endpoint: from exactly `base_state` to exactly `target_state`."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    endpoint = models.ForeignKey("Endpoint", on_delete=models.CASCADE, related_name="operations")
    kind = models.CharField(max_length=6, choices=OperationKind.choices)
    status = models.CharField(max_length=9, choices=OperationStatus.choices, default=OperationStatus.QUEUED)
    # The target revision that a sync brings the endpoint to; null for a revert.
    revision = models.ForeignKey("TargetRevision", on_delete=models.SET_NULL, null=True, related_name="+")
    # For a revert: the operation that it takes back.
    reverts = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, related_name="+")
    base_state = models.ForeignKey("State", on_delete=models.PROTECT, related_name="+")
    # The goal for this endpoint: the pool's target with the endpoint's own held and foreign packages left as they are.
    target_state = models.ForeignKey("State", on_delete=models.PROTECT, related_name="+")
    # The state that it left its endpoint in, as the result or the report that decided said; null if nobody did.
    # Without a constraint of the database: an instance of the release before removes states and doesn't know this.
    end_state = models.ForeignKey("State", on_delete=models.PROTECT, null=True, related_name="+", db_constraint=False)
    # Names that were foreign to the endpoint when this was queued: the operation has not brought them.
    foreign = models.JSONField(default=list)
    # How many changes of each kind: install, upgrade, downgrade, remove, replace, reason.
    plan = models.JSONField(default=dict)
    # The hook that pacman is running, as the agent said with its last heartbeat: {"name", "description", "since"}.
    hook = models.JSONField(null=True)
    # How far its agent is, as its last heartbeat said (`apps.fleet.progress`); null if it said nothing.
    progress = models.JSONField(null=True)
    # What the agent said: {"outcome", "code", "message", "log_tail"}, and {"difference": …} where the server judged.
    # While it waits for another try: of the last one.
    result = models.JSONField(null=True)
    idempotency_key = BytewiseCharField(max_length=limits.IDEMPOTENCY_KEY_LENGTH, unique=True, null=True)
    author = models.CharField(max_length=200)
    attempt = models.PositiveSmallIntegerField(default=0)
    lease_token = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)
    # How often it failed for a reason that will pass, and when it may be claimed again (`apps.fleet.retries`).
    retries = models.PositiveIntegerField(default=0, db_default=0)
    retry_at = models.DateTimeField(null=True)
    # The lease under which the result came: a repeat of it gets the stored answer.
    result_token = models.UUIDField(null=True)
    deadline = models.DateTimeField()
    created = models.DateTimeField(db_default=Now())
    applying_since = models.DateTimeField(null=True)
    finished = models.DateTimeField(null=True)

    objects = OperationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["endpoint"], condition=Q(status__in=ACTIVE), name="operation_one_active_per_endpoint"
            ),
            models.CheckConstraint(condition=Q(status__in=OperationStatus.values), name="operation_status_known"),
            models.CheckConstraint(condition=Q(kind__in=OperationKind.values), name="operation_kind_known"),
            models.CheckConstraint(
                condition=Q(status__in=CLAIMED, lease_token__isnull=False, lease_until__isnull=False)
                | (~Q(status__in=CLAIMED) & Q(lease_token__isnull=True, lease_until__isnull=True)),
                name="operation_lease_exactly_in_leased_states",
            ),
            models.CheckConstraint(
                condition=Q(status__in=FINAL, finished__isnull=False)
                | (~Q(status__in=FINAL) & Q(finished__isnull=True)),
                name="operation_finished_exactly_in_final_states",
            ),
            models.CheckConstraint(condition=Q(attempt__lte=MAX_ATTEMPTS), name="operation_attempt_bounded"),
        ]
        indexes = [
            models.Index(fields=["endpoint", "-created"], name="operation_by_endpoint"),
            models.Index(fields=["lease_until"], condition=Q(status__in=CLAIMED), name="operation_lease_until"),
            models.Index(fields=["status"], name="operation_status"),
            models.Index(fields=["-created", "-id"], name="operation_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"

    @property
    def is_active(self) -> bool:
        """Queued, leased or applying."""
        return self.status in ACTIVE

    @property
    def is_claimed(self) -> bool:
        """Leased or applying."""
        return self.status in CLAIMED
