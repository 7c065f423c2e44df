"""Texts from outside, made safe to keep. It must not know what they mean.

PostgreSQL refuses NUL and lone surrogates in text; SQLite doesn't, so they are sorted out before either sees them. So
are the characters that control a terminal, and those that turn the direction of writing around on a page.
"""

import re

from django.core.exceptions import ValidationError

from . import limits
from .exceptions import Invalid, InvalidName
from .names import validate_name

# All controls except for tab, line feed and carriage return; the bidirectional formatting characters of Unicode's
# annex 9; surrogates.
_UNSAFE = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def line(value: object, *, field: str, maximum: int, empty: bool = False) -> str:
    """`value` if it is a str of one printable line of at most `maximum` characters; raises Invalid otherwise."""
    if not isinstance(value, str):
        raise Invalid(f"{field} must be text.", field=field)
    if not value and not empty:
        raise Invalid(f"{field} is empty.", field=field)
    if len(value) > maximum:
        raise Invalid(f"{field} is longer than {maximum} characters.", field=field)
    if not value.isprintable():
        raise Invalid(f"{field} has characters that can't be printed.", field=field)
    return value


def name(value: object) -> str:
    """`value` if it may be the name of a pool or an endpoint; raises InvalidName otherwise."""
    if not isinstance(value, str):
        raise InvalidName("A name must be text.", field="name")
    try:
        validate_name(value)
    except ValidationError as error:
        raise InvalidName(error.messages[0], field="name") from None
    return value


def patterns(value: object, *, field: str, most: int = limits.PATTERNS) -> list[str]:
    """`value` if it is a sequence of shell patterns (as in IgnorePkg), each once; raises Invalid otherwise."""
    if not isinstance(value, list | tuple) or len(value) > most:
        raise Invalid(f"{field} must be a list of at most {most} patterns.", field=field)
    for pattern in value:
        line(pattern, field=field, maximum=limits.PATTERN_LENGTH)
        if any(char.isspace() for char in pattern):
            raise Invalid(f"{field}: {pattern!r} has a space; every pattern is a word of its own.", field=field)
    return list(dict.fromkeys(value))


def tail(value: str, *, maximum: int) -> str:
    """The last `maximum` characters, with what isn't safe replaced."""
    return _UNSAFE.sub("�", value[-maximum:]) if maximum else ""


def head(value: str, *, maximum: int) -> str:
    """The first `maximum` characters, with what isn't safe replaced."""
    return _UNSAFE.sub("�", value[:maximum])
