"""Who may speak to the server: API tokens of people and programs, codes of machines. Only hashes are kept."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from apps.fleet import limits
from apps.fleet.models.fields import BytewiseCharField


class ApiTokenRole(models.TextChoices):
    VIEWER = "viewer", "viewer: may read"
    OPERATOR = "operator", "operator: may change"


class ApiToken(models.Model):
    """The right of a person or a program to use the API, as `role`."""

    name = BytewiseCharField(max_length=limits.API_TOKEN_NAME_LENGTH, unique=True)
    token_hash = BytewiseCharField(max_length=64, unique=True, editable=False)
    role = models.CharField(max_length=8, choices=ApiTokenRole.choices)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, blank=True)
    created = models.DateTimeField(db_default=Now())
    last_used = models.DateTimeField(null=True, editable=False)
    revoked = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "API token"
        constraints = [models.CheckConstraint(condition=Q(role__in=ApiTokenRole.values), name="api_token_role_known")]

    def __str__(self) -> str:
        return self.name


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
