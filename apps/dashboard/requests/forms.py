"""The forms: input of people as the arguments of a manager's function. The rules are those of the fleet."""

from datetime import timedelta
from typing import Any

from django import forms

from apps.fleet import limits, pool_manager, tokens
from apps.fleet.models import Pool, Role
from apps.fleet.models.pools import ConflictResolution
from apps.fleet.names import NAME_MAX_LENGTH, validate_name

HOUR = 3600
INCOMPLETE = "The form was incomplete, so nothing was done. Look at this page, then press the button again."


class PatternsField(forms.CharField):
    """A list of shell patterns, which are separated by spaces or lines."""

    widget = forms.Textarea(attrs={"rows": 3, "spellcheck": "false"})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        return str(value or "").split()


class PoolForm(forms.Form):
    """Name, description and policy of a pool."""

    name = forms.CharField(
        max_length=NAME_MAX_LENGTH,
        help_text=f"1 to {NAME_MAX_LENGTH} letters, digits, dots, hyphens and underscores. It starts and ends with a "
        "letter or digit.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "autocapitalize": "off"}),
    )
    description = forms.CharField(max_length=limits.DESCRIPTION_LENGTH, required=False)
    auto_sync = forms.BooleanField(
        required=False,
        label="Sync automatically",
        help_text="A sync starts automatically on the endpoints that the conflict resolution below allows.",
    )
    conflict_resolution = forms.ChoiceField(
        label="Conflict resolution",
        help_text="Which endpoints automatic sync brings to the target. Operators can sync any endpoint by hand.",
        choices=ConflictResolution.choices,
    )
    excluded_packages = PatternsField(
        required=False,
        label="Excluded packages",
        help_text="Never part of the target. Shell patterns as in IgnorePkg, separated by lines or spaces: "
        "<code>linux*</code>",
    )
    endpoint_targets_need_approval = forms.BooleanField(
        required=False,
        label="Targets of endpoints need approval",
        help_text="Automatic sync waits for an operator's approval when an endpoint has set the target with "
        "<code>pacsync-agent set-latest</code>. Only endpoints that may set targets can do that. A target that "
        "is set while this is off counts as approved.",
    )
    retention = forms.IntegerField(
        min_value=1,
        max_value=limits.RETENTION,
        error_messages={"max_value": pool_manager.RETENTION_RANGE},
        label="Past states to keep",
        help_text="For each endpoint.",
    )

    def __init__(self, *args: Any, pool: Pool | None = None, **kwargs: Any) -> None:
        """`pool` is the one to change, None for a new pool."""
        super().__init__(*args, **kwargs)
        self.pool = pool

    def clean(self) -> dict[str, Any]:
        """Add every refusal of the fleet to its field, so that a person sees all of them at once."""
        for field, refusal in pool_manager.refusals(self.cleaned_data, pool=self.pool).items():
            self.add_error(field, refusal)
        return self.cleaned_data

    @staticmethod
    def values_of(pool: Pool) -> dict[str, Any]:
        """The pool's values, as initial values of this form."""
        return {name: getattr(pool, name) for name in PoolForm.base_fields}


class EnrolmentCodeForm(forms.Form):
    """How many machines may enrol, until when, into which pool, and what they may do then."""

    pool = forms.ModelChoiceField(
        Pool.objects.order_by("name"),
        to_field_name="name",
        required=False,
        empty_label="none yet",
        help_text="The machines join this pool.",
    )
    uses = forms.IntegerField(
        min_value=1,
        max_value=limits.ENROLMENT_USES,
        initial=1,
        label="Machines",
        help_text="How many machines can enrol with the code.",
    )
    may_set_targets = forms.BooleanField(
        required=False,
        label="They may set the target",
        help_text="With <code>pacsync-agent set-latest</code>. The whole pool then gets the packages of that machine.",
    )
    valid_for = forms.TypedChoiceField(
        label="Valid for",
        coerce=lambda value: timedelta(seconds=int(value)),
        choices=[(HOUR, "an hour"), (24 * HOUR, "a day"), (7 * 24 * HOUR, "a week"), (30 * 24 * HOUR, "30 days")],
        initial=24 * HOUR,
    )


class ApiTokenForm(forms.Form):
    """Name, role and expiry of an API token of the person's own."""

    name = forms.CharField(
        max_length=NAME_MAX_LENGTH,
        help_text="What the audit calls it, such as <code>ann-laptop</code>. No other token can have the same name.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "autocapitalize": "off"}),
        validators=[validate_name],
    )
    role = forms.ChoiceField(help_text="If your own role becomes lower, the token may do no more than you.")
    days = forms.TypedChoiceField(
        label="Expires",
        coerce=lambda value: int(value) or None,
        empty_value=None,
        choices=[(7, "in a week"), (30, "in 30 days"), (90, "in 90 days"), (365, "in a year"), (0, "never")],
        initial=tokens.DEFAULT_DAYS,
    )

    def __init__(self, *args: Any, most: Role, **kwargs: Any) -> None:
        """`most` is the role of the person."""
        super().__init__(*args, **kwargs)
        role = self.fields["role"]
        assert isinstance(role, forms.ChoiceField)  # noqa: S101 - it is declared above
        role.choices = [(one.value, one.label) for one in Role if most.includes(one)]


class AssignForm(forms.Form):
    """The pool of an endpoint."""

    pool = forms.ModelChoiceField(
        Pool.objects.order_by("name"), to_field_name="name", required=False, empty_label="no pool"
    )


class RightsForm(forms.Form):
    """What an endpoint may do, apart from reporting and syncing itself."""

    may_set_targets = forms.BooleanField(required=False, label="It may make its packages the target of its pool")


class ExpectedTargetForm(forms.Form):
    """The number of the target that the person saw; 0 for none."""

    expected_number = forms.IntegerField(min_value=0, widget=forms.HiddenInput)


class TargetForm(forms.Form):
    """A new target revision: the number of the target that the person saw, and a comment."""

    expected_number = forms.IntegerField(min_value=0, widget=forms.HiddenInput)
    comment = forms.CharField(
        max_length=limits.COMMENT_LENGTH,
        required=False,
        help_text="The reason, for people who read the list of revisions later.",
    )


class SignatureForm(forms.Form):
    """The text of a revision, and the signature that somebody made of it."""

    document = forms.FileField(label="Signed text", help_text="The file that was downloaded here, exactly as it was.")
    signature = forms.FileField(
        label="Signature", help_text="One detached OpenPGP signature, as <code>.asc</code> or <code>.sig</code>."
    )


class PromoteForm(TargetForm):
    """A target from another pool, with the number of that pool's target that the person saw."""

    expected_source = forms.IntegerField(min_value=1, widget=forms.HiddenInput)


class SourceForm(TargetForm):
    """A target from an endpoint, with the digest of the packages that the person saw."""

    expected_digest = forms.CharField(max_length=64, widget=forms.HiddenInput)


class UnsoundSourceForm(SourceForm):
    """A target from an endpoint whose examination found problems that may be overridden."""

    force = forms.BooleanField(
        required=False,
        label="Use it anyway",
        help_text="The other endpoints get its problems, too, or refuse the sync.",
    )


class OperationForm(forms.Form):
    """The key that makes a double click one operation, and the value that is expected of its goal."""

    idempotency_key = forms.UUIDField(widget=forms.HiddenInput)
    shown = forms.CharField(max_length=64, widget=forms.HiddenInput)
