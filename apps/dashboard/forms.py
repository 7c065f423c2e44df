"""The forms: what a person types, as the arguments of a manager's function. The rules are the fleet's."""

from datetime import timedelta
from typing import Any

from django import forms

from apps.fleet import pool_manager
from apps.fleet.models import Pool
from apps.fleet.models.pools import ConflictResolution

HOUR = 3600
INCOMPLETE = "The form didn't say what was shown. Nothing was queued: look at it and press the button again."


class PatternsField(forms.CharField):
    """Shell patterns, separated by spaces or lines, as a list."""

    widget = forms.Textarea(attrs={"rows": 3, "spellcheck": "false"})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        return str(value or "").split()


class PoolForm(forms.Form):
    """Name, description and policy of a pool."""

    name = forms.CharField(
        max_length=63,
        help_text="1 to 63 letters, digits, dots, hyphens and underscores; it starts and ends with a letter or digit.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "autocapitalize": "off"}),
    )
    description = forms.CharField(max_length=500, required=False)
    auto_sync = forms.BooleanField(
        required=False,
        label="Sync automatically",
        help_text="A sync starts by itself for the endpoints that the conflict resolution below allows.",
    )
    conflict_resolution = forms.ChoiceField(
        label="Conflict resolution",
        help_text="Which endpoints automatic sync brings to the target. By hand, staff may sync any endpoint.",
        choices=ConflictResolution.choices,
    )
    excluded_packages = PatternsField(
        required=False,
        label="Excluded packages",
        help_text="Never part of the target. Shell patterns as in IgnorePkg, one a line or separated by spaces: "
        "<code>linux*</code>",
    )
    endpoint_targets_need_approval = forms.BooleanField(
        required=False,
        label="Targets of endpoints need approval",
        help_text="Automatic sync waits for an operator when an endpoint set the target with "
        "<code>pacsync-agent set-latest</code>. Only endpoints with the right to it can do that. A target that "
        "is set while this is off counts as approved.",
    )
    retention = forms.IntegerField(
        min_value=1, max_value=1_000_000, label="Past states to keep", help_text="For each endpoint."
    )

    def __init__(self, *args: Any, pool: Pool | None = None, **kwargs: Any) -> None:
        """`pool` is the one to change; None for a new one."""
        super().__init__(*args, **kwargs)
        self.pool = pool

    def clean(self) -> dict[str, Any]:
        """With every refusal of the fleet at its field, so that nobody meets them one after the other."""
        for field, refusal in pool_manager.refusals(self.cleaned_data, pool=self.pool).items():
            self.add_error(field, refusal)
        return self.cleaned_data

    @staticmethod
    def values_of(pool: Pool) -> dict[str, Any]:
        """A pool as this form's initial values."""
        return {name: getattr(pool, name) for name in PoolForm.base_fields}


class EnrolmentCodeForm(forms.Form):
    """How many machines may enrol, until when, and into which pool."""

    pool = forms.ModelChoiceField(
        Pool.objects.order_by("name"),
        to_field_name="name",
        required=False,
        empty_label="none yet",
        help_text="The machines join this pool.",
    )
    uses = forms.IntegerField(
        min_value=1, max_value=100_000, initial=1, label="Machines", help_text="How many may use the code."
    )
    may_set_targets = forms.BooleanField(
        required=False,
        label="They may set the target",
        help_text="With <code>pacsync-agent set-latest</code>, for their own pool: what it has, all others get.",
    )
    valid_for = forms.TypedChoiceField(
        label="Valid for",
        coerce=lambda value: timedelta(seconds=int(value)),
        choices=[(HOUR, "an hour"), (24 * HOUR, "a day"), (7 * 24 * HOUR, "a week"), (30 * 24 * HOUR, "30 days")],
        initial=24 * HOUR,
    )


class AssignForm(forms.Form):
    """The pool of an endpoint."""

    pool = forms.ModelChoiceField(
        Pool.objects.order_by("name"), to_field_name="name", required=False, empty_label="no pool"
    )


class RightsForm(forms.Form):
    """What an endpoint may do beyond reporting and syncing itself."""

    may_set_targets = forms.BooleanField(required=False, label="It may make its packages the target of its pool")


class ExpectedForm(forms.Form):
    """The number of the target that the person saw (0: none)."""

    expected_number = forms.IntegerField(min_value=0, widget=forms.HiddenInput)


class TargetForm(forms.Form):
    """A new target revision: the number that the person saw, and why."""

    expected_number = forms.IntegerField(min_value=0, widget=forms.HiddenInput)
    comment = forms.CharField(
        max_length=500, required=False, help_text="Why, for whoever reads the list of revisions later."
    )


class PromoteForm(TargetForm):
    """The same from another pool, with the number of its target that the person saw."""

    expected_source = forms.IntegerField(min_value=1, widget=forms.HiddenInput)


class SourceForm(TargetForm):
    """The same from an endpoint, with the digest of what the person saw that it would give."""

    expected_digest = forms.CharField(max_length=64, widget=forms.HiddenInput)


class UnsoundSourceForm(SourceForm):
    """The same from an endpoint whose examination speaks against it, where that may be forced."""

    force = forms.BooleanField(
        required=False,
        label="Take it all the same",
        help_text="The other endpoints get what is wrong with it too, or refuse the sync.",
    )


class OperationForm(forms.Form):
    """The key that makes a double click one operation, and where the operation leads by what the person saw."""

    idempotency_key = forms.UUIDField(widget=forms.HiddenInput)
    shown = forms.CharField(max_length=64, widget=forms.HiddenInput)
