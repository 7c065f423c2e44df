"""The two charts of the health page, as rectangles for inline SVG. It must not know where the numbers come from."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from apps.fleet.plural import counted
from apps.health.detailed.status_badges import CHECK_BADGES

BAR, GAP, HEIGHT = 6, 2, 24
SLOTS = 30


class Rectangle(NamedTuple):
    tone: str
    x: float
    y: float
    width: float
    height: float
    title: str


class Strip(NamedTuple):
    """The last checks of a component, newest on the right; `label` says what the chart shows."""

    bars: list[Rectangle]
    width: int
    height: int
    label: str


def strip(history: Sequence[dict[str, Any]]) -> Strip:
    """One bar per check: its colour is the status, its height the duration (log scale). Failed ones are full height."""
    start = (SLOTS - len(history)) * (BAR + GAP)
    bars = [_bar(entry, start + index * (BAR + GAP)) for index, entry in enumerate(history)]
    failed = sum(entry["status"] != "healthy" for entry in history)
    if not history:
        label = "no check yet"
    else:
        label = f"{failed} of {len(history)} failed" if failed else f"{counted(len(history), 'check')}, none failed"
    return Strip(bars, SLOTS * (BAR + GAP) - GAP, HEIGHT, label)


def _bar(entry: dict[str, Any], x: int) -> Rectangle:
    duration = entry["duration_ms"]
    height = HEIGHT if entry["status"] != "healthy" else min(HEIGHT - 4, 4 + 5 * math.log10(1 + duration))
    badge = CHECK_BADGES[entry["status"]]
    title = f"{entry['at'][11:19]} UTC: {badge.label}, {duration:g} ms"
    return Rectangle(badge.tone, x, round(HEIGHT - height, 1), BAR, round(height, 1), title)


def gauge(active: int, idle: int, maximum: int) -> list[Rectangle]:
    """Connections in use and idle, as parts of 100; what is left may still be opened."""
    scale = 100 / max(1, maximum, active + idle)
    return [
        Rectangle("info", 0, 0, round(active * scale, 2), 1, f"{active} in use"),
        Rectangle("ok", round(active * scale, 2), 0, round(idle * scale, 2), 1, f"{idle} idle"),
    ]
