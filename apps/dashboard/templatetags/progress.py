"""The progress of operations, for every page that shows one. It must not read the database."""

from collections.abc import Mapping

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.dashboard.presentation import progress_texts
from apps.fleet import progress
from apps.fleet.models import Operation

register = template.Library()


@register.inclusion_tag("pacsync/operations/progress.html")
def progress_of(operation: Operation) -> dict[str, object]:
    """The progress of the operation, with a bar if the total is known. Nothing if its agent reported none."""
    reported = progress.of(operation)
    return {
        "sentence": progress_texts.sentence(reported) if reported else "",
        "percent": reported.percent if reported else None,
        "heard": progress.heard(operation),
    }


@register.simple_tag
def short_progress(operation: Operation) -> SafeString | str:
    """The progress in a few words, below a badge."""
    reported = progress.of(operation)
    if not reported:
        return ""
    text = progress_texts.short_text(reported, operation.status)
    return format_html('<span class="muted small">{}</span>', text)


@register.filter
def phase_counts(counts: Mapping[str, int]) -> str:
    """How many operations are in which phase. Empty if no machine has started one."""
    return progress_texts.phase_counts(counts)
