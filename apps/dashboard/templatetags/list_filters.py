"""The fields of a list's filter, and headings that sort the list. It must not read the database."""

from collections.abc import Iterable

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.dashboard.presentation.status_badges import badge_of

register = template.Library()


@register.simple_tag(takes_context=True)
def sorted_heading(context: template.Context, text: str, field: str, classes: str = "") -> SafeString:
    """The heading of a column. In a `sortable` table it is a link that sorts by the column, or reverses the order."""
    mark = format_html(' class="{}"', classes) if classes else ""
    if not context.get("sortable"):
        return format_html('<th scope="col"{}>{}</th>', mark, text)
    current, query = str(context.get("sort") or ""), context["request"].GET.copy()
    order = {field: "ascending", f"-{field}": "descending"}.get(current, "")
    query["sort"] = f"-{field}" if current == field else field
    query.pop("page", None)
    return format_html(
        '<th scope="col"{}{}><a class="sort" href="?{}">{}<span aria-hidden="true">{}</span></a></th>',
        mark,
        format_html(' aria-sort="{}"', order) if order else "",
        query.urlencode(),
        text,
        {"ascending": " ▲", "descending": " ▼"}.get(order, ""),
    )


def _used(context: template.Context, name: str) -> str:
    return str(context["query"].used.get(name, ""))


@register.inclusion_tag("pacsync/parts/filter_text.html", takes_context=True)
def filter_text(
    context: template.Context, label: str, name: str, size: int = 14, placeholder: str = ""
) -> dict[str, object]:
    """A text field of a filter, with its current value (`query` of the context is a ListQuery)."""
    return {"label": label, "name": name, "size": size, "placeholder": placeholder, "value": _used(context, name)}


@register.inclusion_tag("pacsync/parts/filter_choice.html", takes_context=True)
def filter_choice(
    context: template.Context, label: str, name: str, choices: Iterable[str | tuple[str, str]]
) -> dict[str, object]:
    """A selection of a filter: of names with a badge, or of (value, label) pairs."""
    pairs = [(one, badge_of(one).label) if isinstance(one, str) else one for one in choices]
    return {"label": label, "name": name, "choices": pairs, "value": _used(context, name)}


@register.inclusion_tag("pacsync/parts/filter_pool.html", takes_context=True)
def filter_pool(context: template.Context) -> dict[str, object]:
    """The field of a filter for a pool. It offers `pool_names` while somebody types."""
    return {"names": context["pool_names"], "value": _used(context, "pool")}


@register.simple_tag(takes_context=True)
def filter_kept(context: template.Context, name: str) -> SafeString | str:
    """A hidden field, for a parameter that has no field in the form but has to stay."""
    value = _used(context, name)
    return format_html('<input type="hidden" name="{}" value="{}">', name, value) if value else ""
