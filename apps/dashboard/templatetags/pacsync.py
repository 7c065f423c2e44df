"""What the templates need beyond Django's own: badges, ages, counts, texts to copy. It must not read the database."""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from django import template
from django.utils import timezone
from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from apps.dashboard.ages import age, ago, moment_text
from apps.dashboard.attention_look import Segment
from apps.dashboard.look import ATTENTION, CHANGES, LEFT_OUT, MANAGEMENT, TONES, Look, look
from apps.dashboard.reading import Line
from apps.fleet import audit
from apps.fleet.alpm.state import InstalledPackage

register = template.Library()
VALUE_LENGTH = 60
DIGEST = re.compile(r"[0-9a-f]{64}")


@register.filter
def tone(level: str) -> str:
    """The tone of a message level."""
    return TONES.get(level, "info")


@register.filter
def actor(name: str) -> str:
    return audit.words(name)


@register.filter
def breakable(name: str) -> SafeString:
    """A host name that may break after a dot or hyphen on a narrow screen."""
    return mark_safe(re.sub(r"([.-])", r"\1<wbr>", escape(name)))  # noqa: S308 - escaped before tags are added


@register.filter
def left_out(why: str) -> str:
    """Why a target doesn't manage a package, in words."""
    return LEFT_OUT.get(why, why)


@register.filter
def tone_of(name: str) -> str:
    return look(name).tone


@register.filter
def words(name: str) -> str:
    return look(name).words


@register.filter
def meaning(name: str) -> str:
    return look(name).meaning


@register.filter
def sentence(name: str) -> str:
    """What a status means, as the beginning of a sentence; the name pacman keeps its small letter."""
    text = look(name).meaning
    return text if text.startswith("pacman ") else text[:1].upper() + text[1:]


@register.simple_tag
def badge(name: str, text: str = "") -> SafeString:
    """A status or change as a coloured label: sign, word, and what it means as a tooltip."""
    return _badge(look(name), text)


@register.simple_tag
def attention_badge(kind: str) -> SafeString:
    """The label of what needs attention."""
    return _badge(ATTENTION.get(kind) or look(kind))


def _badge(seen: Look, text: str = "") -> SafeString:
    title = format_html(' title="{}"', seen.meaning) if seen.meaning else ""
    return format_html(
        '<span class="badge {}"{}><span aria-hidden="true">{}</span>{}</span>',
        seen.tone,
        title,
        seen.sign,
        text or seen.words,
    )


def _time(then: datetime, text: str, kind: str) -> SafeString:
    utc = then.astimezone(UTC)
    return format_html(
        '<time datetime="{}" title="{} UTC" data-{}>{}</time>',
        utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
        utc.strftime("%Y-%m-%d %H:%M:%S"),
        kind,
        text,
    )


@register.simple_tag(name="ago")
def ago_tag(then: datetime | None, never: str = "never") -> SafeString | str:
    """A moment as `3 h ago`, with the exact time as a tooltip."""
    return _time(then, ago(then, timezone.now()), "ago") if then else never


@register.simple_tag
def moment(then: datetime | None, never: str = "never") -> SafeString | str:
    """A moment with its date and zone, as `2026-01-15 10:30 UTC`: how every page writes one that isn't an age."""
    return _time(then, moment_text(then), "moment") if then else never


@register.simple_tag
def bar(segments: Iterable[Segment]) -> SafeString:
    """A stacked bar for the eye; its figures stand beside it as text."""
    parts = format_html_join(
        "",
        '<rect class="{}" x="{}" width="{}" height="8"/>',
        ((look(part.status).tone, part.start, part.width) for part in segments),
    )
    return format_html(
        '<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">{}</svg>', parts
    )


@register.simple_tag(takes_context=True)
def sorted_heading(context: template.Context, text: str, field: str, classes: str = "") -> SafeString:
    """The heading of a column; in a table that is `sortable` with a link that sorts by it, or turns the order round."""
    mark = format_html(' class="{}"', classes) if classes else ""
    if not context.get("sortable"):
        return format_html('<th scope="col"{}>{}</th>', mark, text)
    present, query = str(context.get("sort") or ""), context["request"].GET.copy()
    order = {field: "ascending", f"-{field}": "descending"}.get(present, "")
    query["sort"] = f"-{field}" if present == field else field
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


@register.inclusion_tag("pacsync/filter_text.html", takes_context=True)
def filter_text(
    context: template.Context, label: str, name: str, size: int = 14, placeholder: str = ""
) -> dict[str, object]:
    """A filter of a list that is typed, with what the list was asked for (`query`, a ListQuery)."""
    return {"label": label, "name": name, "size": size, "placeholder": placeholder, "value": _used(context, name)}


@register.inclusion_tag("pacsync/filter_choice.html", takes_context=True)
def filter_choice(
    context: template.Context, label: str, name: str, choices: Iterable[str | tuple[str, str]]
) -> dict[str, object]:
    """A filter of a list that is chosen: of statuses and the like, or of (value, words)."""
    pairs = [(one, look(one).words) if isinstance(one, str) else one for one in choices]
    return {"label": label, "name": name, "choices": pairs, "value": _used(context, name)}


@register.inclusion_tag("pacsync/filter_pool.html", takes_context=True)
def filter_pool(context: template.Context) -> dict[str, object]:
    """The filter for a pool, which offers `pool_names` while somebody types."""
    return {"names": context["pool_names"], "value": _used(context, "pool")}


@register.simple_tag(takes_context=True)
def filter_kept(context: template.Context, name: str) -> SafeString | str:
    """What the list was asked for without a field in the form stays when the form is sent."""
    value = _used(context, name)
    return format_html('<input type="hidden" name="{}" value="{}">', name, value) if value else ""


@register.simple_tag
def fields(values: object) -> SafeString | str:
    """What an audit event says was changed: `name lab, auto_sync true`; long values are cut."""
    if not isinstance(values, Mapping):
        return ""
    shown = ((name, _value(value)) for name, value in values.items())
    return format_html_join(", ", '<span class="muted">{}</span> {}', shown)


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name} {_value(one)}" for name, one in value.items() if one) or "none"
    if value is None or value in ("", []):
        return "none"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if DIGEST.fullmatch(text):
        return text[:12]
    return text if len(text) <= VALUE_LENGTH else f"{text[:VALUE_LENGTH]}…"


@register.simple_tag(name="age")
def age_tag(then: datetime | None) -> SafeString | str:
    """How long since `then`, as `3 h`."""
    return _time(then, age(then, timezone.now()), "age") if then else ""


@register.simple_tag
def next_try(then: datetime) -> SafeString | str:
    """When an operation that waits is tried again: `The next try is in 48 s.`

    A time that has come means the next report, since only the machine itself begins. The module says the same when the
    time comes while the page is shown (`data-next`).
    """
    now = timezone.now()
    if then <= now:
        return "It is tried again at the machine's next report."
    return format_html("The next try is {}.", _time(then, ago(then, now), "next"))


@register.simple_tag
def reason(result: Mapping[str, str]) -> SafeString:
    """The first line of a result's message with its code, as one sentence: `Not downloaded: a 2-1 (mirror_failed).`"""
    message, code = (result.get("message") or "").partition("\n")[0], result.get("code") or ""
    if not message or not code:
        return with_code(message or code)
    return format_html('{} <span class="mono">({})</span>.', with_code(message.rstrip().removesuffix(".")), code)


@register.filter
def with_code(text: str) -> SafeString:
    """A text whose `commands` in backquotes are shown as code."""
    return mark_safe(re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text)))  # noqa: S308 - escaped before


@register.simple_tag
def copyable(text: str) -> SafeString:
    """A command for the reader's shell. The module adds a button that copies it."""
    return format_html('<div class="copyable"><pre class="wrap"><code>{}</code></pre></div>', text)


@register.simple_tag
def short(digest: str) -> SafeString:
    return format_html('<code title="{}">{}</code>', digest, digest[:12])


@register.filter
def count_words(count: int, status: str) -> str:
    """`3 behind`."""
    return f"{count} {look(status).words}"


@register.simple_tag
def counts(numbers: Mapping[str, int] | None) -> SafeString | str:
    """Changes by kind, as `+2 ↑14 ↓1 −3 •1`, each with its word for a tooltip and a screen reader."""
    looks = CHANGES | MANAGEMENT
    shown = [(looks[kind], numbers[kind]) for kind in looks if numbers and numbers.get(kind)]
    if not shown:
        return format_html('<span class="muted">{}</span>', "none") if numbers is not None else ""
    return format_html_join(
        " ",
        '<span class="nowrap" title="{2} {0}"><span aria-hidden="true">{1}</span>{2}'
        '<span class="visually-hidden"> {0}</span></span>',
        ((change.words, change.sign, count) for change, count in shown),
    )


@register.simple_tag
def package(installed: InstalledPackage | None, change: Line) -> SafeString:
    """One side of a change: the version, and whatever else makes the difference."""
    if installed is None:
        return format_html('<span class="muted">{}</span>', change.absent)
    extra = {"reason": installed.reason, "replace": installed.arch}.get(change.kind)
    return (
        format_html('{} <span class="muted">{}</span>', installed.version, extra)
        if extra
        else format_html("{}", installed.version)
    )
