"""Who may speak to the server: API tokens of people and programs, codes of machines. Only hashes are kept."""

from datetime import timedelta
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Now

from apps.fleet import clock, limits
from apps.fleet.models.fields import BytewiseCharField
from apps.fleet.models.roles import Role, lower, role_of

# From then on pages, lists and the overview say that a token expires soon.
EXPIRES_SOON = timedelta(days=14)


class TokenStatus(models.TextChoices):
    """What a token is good for. Only `active` and `expires_soon` are let in."""

    ACTIVE = "active"
    EXPIRES_SOON = "expires_soon"
    EXPIRED = "expired"
    OWNER_INACTIVE = "owner_inactive"
    REVOKED = "revoked"


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def with_status(self) -> Self:
        """With the owner and their role now (`owner_role`), and `status` (a TokenStatus) by the database's clock."""
        return self.select_related("owner").annotate(
            owner_role=role_of("owner__"),
            status=Case(
                When(revoked__isnull=False, then=Value(TokenStatus.REVOKED.value)),
                When(owner__is_active=False, then=Value(TokenStatus.OWNER_INACTIVE.value)),
                When(expires__lte=Now(), then=Value(TokenStatus.EXPIRED.value)),
                When(expires__lte=clock.moved(EXPIRES_SOON), then=Value(TokenStatus.EXPIRES_SOON.value)),
                default=Value(TokenStatus.ACTIVE.value),
                output_field=models.CharField(),
            ),
        )

    def of(self, owner: int | None, role: Role) -> Self:
        """The tokens that somebody with this role may see and revoke. `owner` is their account; None: they have none.

        Their own; for operators also those without an owner, which belong to nobody else; for administrators all.
        """
        if role == Role.ADMINISTRATOR:
            return self
        own = Q(owner=owner) if owner is not None else Q(pk__in=())
        nobodys = Q(owner=None) & ~Q(role=Role.ADMINISTRATOR)
        return self.filter(own | nobodys if role == Role.OPERATOR else own)


class ApiToken(models.Model):
    """The right of a person or a program to use the API, as `role` and no more than the owner may.

    A token without an owner isn't bound to an account. Without `expires` it never expires.
    """

    name = BytewiseCharField(max_length=limits.API_TOKEN_NAME_LENGTH, unique=True)
    token_hash = BytewiseCharField(max_length=64, unique=True, editable=False)
    role = models.CharField(max_length=13, choices=Role.choices)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, blank=True, db_column="user_id"
    )
    created = models.DateTimeField(db_default=Now())
    expires = models.DateTimeField(null=True, blank=True)
    last_used = models.DateTimeField(null=True, editable=False)
    revoked = models.DateTimeField(null=True, blank=True)

    # What `with_status` adds.
    status: str
    owner_role: str | None

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        verbose_name = "API token"
        constraints = [models.CheckConstraint(condition=Q(role__in=Role.values), name="api_token_role_known")]

    def __str__(self) -> str:
        return self.name

    @property
    def role_now(self) -> Role | None:
        """What it may do now: its role, but no more than its owner's (None: nothing). Needs `with_status`."""
        role = Role(self.role)
        return role if self.owner_id is None else lower(role, Role(self.owner_role) if self.owner_role else None)


class EnrolmentCode(models.Model):
    """The right to enrol `uses` machines until `expires`, into `pool` if one is named."""

    code_hash = BytewiseCharField(max_length=64, unique=True, editable=False)
    pool = models.ForeignKey("Pool", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    expires = models.DateTimeField()
    uses = models.PositiveIntegerField(default=1)
    used = models.PositiveIntegerField(default=0, editable=False)
    # Whether the machines that enrol with it may set the target of their pool.
    may_set_targets = models.BooleanField(default=False, db_default=False)
    author = models.CharField(max_length=200)
    created = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(uses__gte=1), name="enrolment_code_uses_positive"),
            models.CheckConstraint(condition=Q(used__lte=F("uses")), name="enrolment_code_not_overused"),
        ]

    def __str__(self) -> str:
        return f"code {self.pk}"


class ReenrolmentCode(models.Model):
    """The right to enrol once more as `endpoint`, until `expires`. An endpoint has one at most."""

    # Without a constraint of the database: an instance of the release before deletes endpoints and not these.
    endpoint = models.OneToOneField(
        "Endpoint", on_delete=models.CASCADE, related_name="reenrolment_code", db_constraint=False
    )
    code_hash = BytewiseCharField(max_length=64, unique=True, editable=False)
    expires = models.DateTimeField()
    author = models.CharField(max_length=200)
    created = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"code of endpoint {self.endpoint_id}"
