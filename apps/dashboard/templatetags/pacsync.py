"""What the templates need beyond Django's own: badges, ages, counts, texts to copy. It must not read the database."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from django import template
from django.utils import timezone
from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from apps.dashboard.ages import age, ago
from apps.dashboard.look import CHANGES, LEFT_OUT, MANAGEMENT, TONES, look
from apps.dashboard.reading import Line
from apps.fleet import audit
from apps.fleet.alpm.state import InstalledPackage

register = template.Library()


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


@register.simple_tag
def badge(name: str, text: str = "") -> SafeString:
    """A status or change as a coloured label: sign, word, and what it means as a tooltip."""
    seen = look(name)
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
    """The message of a result with its code, as one sentence: `Not downloaded: a 2-1 (mirror_failed).`"""
    message, code = result.get("message") or "", result.get("code") or ""
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
