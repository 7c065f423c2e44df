"""What the templates need beyond Django's own tags: badges, ages, counts, texts to copy.

It must not read the database.
"""

import functools
import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from django import template
from django.utils import timezone
from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from apps.dashboard.presentation import addresses
from apps.dashboard.presentation.attention_links import BarPart
from apps.dashboard.presentation.package_changes import ChangeLine
from apps.dashboard.presentation.status_badges import (
    CHANGE_BADGES,
    MANAGEMENT_BADGES,
    MESSAGE_TONES,
    UNMANAGED_REASONS,
    attention_badge_of,
    badge_of,
)
from apps.fleet import audit
from apps.fleet.alpm.state import InstalledPackage
from apps.fleet.status_badges import Badge
from apps.lifecycle.ages import age, ago, moment_text

register = template.Library()
VALUE_LENGTH = 60
DIGEST = re.compile(r"[0-9a-f]{64}")
_COUNTED = CHANGE_BADGES | MANAGEMENT_BADGES
_NO_CHANGES = format_html('<span class="muted">{}</span>', "none")


@register.filter
def message_tone(level: str) -> str:
    """The tone of a message, by its level."""
    return MESSAGE_TONES.get(level, "info")


@register.filter
def actor(name: str) -> str:
    """The actor of an event or operation: `ada` for `user:ada`."""
    return audit.display_name(name)


@register.filter
def address(name: object, page: str) -> SafeString:
    """The address of a page about the endpoint, pool or operation with this name: `{{ name|address:"endpoint" }}`."""
    return mark_safe(addresses.address(page, name))  # noqa: S308 - quoted


@register.filter
def breakable(name: str) -> SafeString:
    """A host name that can break after a dot or hyphen on a narrow screen."""
    return mark_safe(re.sub(r"([.-])", r"\1<wbr>", escape(name)))  # noqa: S308 - escaped before tags are added


@register.filter
def unmanaged_reason(why: str) -> str:
    """The label of the reason why a target doesn't manage a package."""
    return UNMANAGED_REASONS.get(why, why)


@register.filter
def tone(name: str) -> str:
    """The tone of a badge."""
    return badge_of(name).tone


@register.filter
def label(name: str) -> str:
    """The label of a badge."""
    return badge_of(name).label


@register.filter
def meaning(name: str) -> str:
    """The meaning of a badge, as a part of a sentence."""
    return badge_of(name).meaning


@register.filter
def meaning_sentence(name: str) -> str:
    """The meaning of a badge, with a capital letter. The name pacman keeps its small one."""
    text = badge_of(name).meaning
    return text if text.startswith("pacman ") else text[:1].upper() + text[1:]


@register.simple_tag
def badge(name: str, text: str = "") -> SafeString:
    """A coloured label: the sign, the label or `text`, and the meaning as a tooltip."""
    return _badge(badge_of(name), text) if text else _plain_badge(badge_of(name))


@register.simple_tag
def attention_badge(kind: str) -> SafeString:
    """The badge of a kind of attention item."""
    return _plain_badge(attention_badge_of(kind))


@register.simple_tag
def effect_badge(effect: Badge, count: int | None = None) -> SafeString:
    """The badge of an effect of a forecast. With `count`, the number of machines is in it and the meaning a tooltip."""
    if count is None:
        return _badge(effect._replace(meaning=""))
    return _badge(effect, f"{effect.label}: {count}")


def _badge(shown: Badge, text: str = "") -> SafeString:
    title = format_html(' title="{}"', shown.meaning) if shown.meaning else ""
    sign = format_html('<span aria-hidden="true">{}</span>', shown.sign) if shown.sign else ""
    return format_html('<span class="badge {}"{}>{}{}</span>', shown.tone, title, sign, text or shown.label)


@functools.lru_cache(256)
def _plain_badge(shown: Badge) -> SafeString:
    """A table has the same few in each row."""
    return _badge(shown)


def _time(then: datetime, text: str, kind: str) -> SafeString:
    utc = then.astimezone(UTC).isoformat(" ", "seconds")
    day, hour = utc[:10], utc[11:19]
    shown = f'<time datetime="{day}T{hour}Z" title="{day} {hour} UTC" data-{kind}>{escape(text)}</time>'
    return mark_safe(shown)  # noqa: S308 - digits, our own words, and what is escaped


@register.simple_tag(name="ago")
def ago_tag(then: datetime | None, never: str = "never") -> SafeString | str:
    """A moment as `3 h ago`, with the exact time as a tooltip; `never` if there is none."""
    return _time(then, ago(then, timezone.now()), "ago") if then else never


@register.simple_tag
def moment(then: datetime | None, never: str = "never") -> SafeString | str:
    """A moment with its date and zone: `2026-01-15 10:30 UTC`."""
    return _time(then, moment_text(then), "moment") if then else never


@register.simple_tag
def bar(parts: Iterable[BarPart]) -> SafeString:
    """A stacked bar, hidden from screen readers: its numbers are next to it as text."""
    rectangles = format_html_join(
        "",
        '<rect class="{}" x="{}" width="{}" height="8"/>',
        ((badge_of(part.status).tone, part.start, part.width) for part in parts),
    )
    return format_html(
        '<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">{}</svg>', rectangles
    )


@register.simple_tag
def changed_fields(values: object) -> SafeString | str:
    """The fields that an audit event changed: `name lab, auto_sync true`. Long values are cut."""
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

    Only the machine itself starts a try, so a time that has passed means its next report. pacsync.js says the same when
    the time passes while the page is shown (`data-next`).
    """
    now = timezone.now()
    if then <= now:
        return "It is tried again at the machine's next report."
    return format_html("The next try is {}.", _time(then, ago(then, now), "next"))


@register.simple_tag
def result_reason(result: Mapping[str, str]) -> SafeString:
    """The first line of a result's message with the code, as a sentence: `Not downloaded: a 2-1 (mirror_failed).`"""
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
    """A command for a shell. pacsync.js adds a button that copies it."""
    return format_html('<div class="copyable"><pre class="wrap"><code>{}</code></pre></div>', text)


@register.simple_tag
def short_digest(digest: str) -> SafeString:
    """The first 12 characters of a digest, with all of it as a tooltip."""
    return format_html('<code title="{}">{}</code>', digest, digest[:12])


@register.filter
def count_label(count: int, status: str) -> str:
    """`3 behind`."""
    return f"{count} {badge_of(status).label}"


@register.simple_tag
def change_counts(numbers: Mapping[str, int] | None) -> SafeString | str:
    """Numbers of changes by kind: `+2 ↑14 ↓1 −3 •1`. The label of each is a tooltip, and a text for screen readers."""
    shown = [_change_count(kind, numbers[kind]) for kind in _COUNTED if numbers and numbers.get(kind)]
    if not shown:
        return _NO_CHANGES if numbers is not None else ""
    return mark_safe(" ".join(shown))  # noqa: S308 - each is


@functools.lru_cache(4096)
def _change_count(kind: str, count: int) -> SafeString:
    change = _COUNTED[kind]
    return format_html(
        '<span class="nowrap" title="{2} {0}"><span aria-hidden="true">{1}</span>{2}'
        '<span class="visually-hidden"> {0}</span></span>',
        change.label,
        change.sign,
        count,
    )


@register.simple_tag
def change_side(installed: InstalledPackage | None, change: ChangeLine) -> SafeString:
    """One side of a change: the version, and the install reason or architecture where that is the difference."""
    if installed is None:
        return format_html('<span class="muted">{}</span>', change.absent)
    extra = {"reason": installed.reason, "replace": installed.arch}.get(change.kind)
    return (
        format_html('{} <span class="muted">{}</span>', installed.version, extra)
        if extra
        else format_html("{}", installed.version)
    )
