"""Links to packages, states and comparisons, for every page that shows them. It must not read the database."""

from urllib.parse import urlencode

from django import template
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.fleet import references

register = template.Library()


@register.simple_tag
def state_link(digest: str) -> SafeString:
    """The short digest of a state, as a link to its packages."""
    return format_html(
        '<a href="{}"><code title="{}">{}</code></a>', reverse("state", args=[digest]), digest, digest[:12]
    )


@register.simple_tag
def compare_url(before: str, after: str) -> str:
    """The address of the comparison of two references (`endpoint:NAME`, …). A digest alone means a state."""
    sides = [one if ":" in one else references.of_state(one) for one in (before, after)]
    return f"{reverse('compare')}?{urlencode({'from': sides[0], 'to': sides[1]})}"
