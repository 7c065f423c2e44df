"""Earlier and later versions of a package: `3.6.3-1` comes after `3.6.2-1`. Pure functions.

It must not know the packages. The versions that it makes have the order of pacman (`apps.fleet.alpm.version`).
"""

import re
from datetime import date, timedelta

_PARTS = re.compile(r"(?P<epoch>\d+:)?(?P<version>[^-]+)-(?P<release>\d+)(?P<point>\.\d+)?")
_NUMBERS = re.compile(r"\d+(?:\.\d+)*")
_WEEK = timedelta(days=7)


def moved(version: str, steps: int) -> str:
    """The version `steps` releases after this one, or before it if `steps` is negative.

    Where there is no earlier version (`0.0-1`), it is the earliest one.
    """
    for _ in range(abs(steps)):
        version = _later(version) if steps > 0 else _earlier(version)
    return version


def _later(version: str) -> str:
    epoch, upstream, release = _split(version)
    numbers, rest = _leading(upstream)
    if not numbers:
        return f"{epoch}{upstream}-{release + 1}"
    if day := _day(numbers[0]):
        return f"{epoch}{'.'.join([f'{day + _WEEK:%Y%m%d}', *numbers[1:]])}{rest}-1"
    return f"{epoch}{'.'.join([*numbers[:-1], str(int(numbers[-1]) + 1)])}{rest}-1"


def _earlier(version: str) -> str:
    epoch, upstream, release = _split(version)
    if release > 1:
        return f"{epoch}{upstream}-{release - 1}"
    numbers, rest = _leading(upstream)
    day = _day(numbers[0]) if numbers else None
    if day:
        return f"{epoch}{'.'.join([f'{day - _WEEK:%Y%m%d}', *numbers[1:]])}{rest}-1"
    for at in reversed(range(len(numbers))):
        if int(numbers[at]) > 0:
            width = len(numbers[at]) if numbers[at].startswith("0") else 0
            lower = str(int(numbers[at]) - 1).zfill(width)
            return f"{epoch}{'.'.join([*numbers[:at], lower, *('9' for _ in numbers[at + 1 :])])}{rest}-1"
    return version


def _split(version: str) -> tuple[str, str, int]:
    """(epoch with its colon or nothing, pkgver, pkgrel). Raises ValueError for text that isn't a version."""
    found = _PARTS.fullmatch(version)
    if found is None:
        raise ValueError(f"{version!r} isn't a version of a package")
    return found["epoch"] or "", found["version"], int(found["release"])


def _leading(upstream: str) -> tuple[list[str], str]:
    """The numbers at the beginning of a version, and the text after them."""
    found = _NUMBERS.match(upstream)
    return (found[0].split("."), upstream[found.end() :]) if found else ([], upstream)


def _day(number: str) -> date | None:
    """The date in a version like 20260622; None for other numbers."""
    try:
        return date.fromisoformat(number) if len(number) == 8 else None
    except ValueError:
        return None
