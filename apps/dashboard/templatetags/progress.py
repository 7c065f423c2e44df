"""How far operations are, for every page that shows one. It must not read the database."""

from collections.abc import Mapping

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.dashboard import progress_words
from apps.fleet import progress
from apps.fleet.models import Operation

register = template.Library()


@register.inclusion_tag("pacsync/progress.html")
def progress_of(operation: Operation) -> dict[str, object]:
    """How far the operation is, with a bar where there is a total; nothing where its agent didn't say."""
    far = progress.of(operation)
    return {
        "sentence": progress_words.sentence(far) if far else "",
        "percent": far.percent if far else None,
        "heard": progress.heard(operation),
    }


@register.simple_tag
def brief_progress(operation: Operation) -> SafeString | str:
    """The same in a few words, below a badge."""
    far = progress.of(operation)
    return (
        format_html('<span class="muted small">{}</span>', progress_words.brief(far, operation.status)) if far else ""
    )


@register.filter
def phases(counts: Mapping[str, int]) -> str:
    """How many operations are in which phase; empty where no machine has begun one."""
    return progress_words.phases(counts)
