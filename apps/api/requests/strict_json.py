"""Parses the JSON bodies of requests strictly, and at no more cost than a request of the protocol may have.

It must not know what a body means or who sent it. Python's parser makes an object from every value, and pydantic an
error from every wrong one. So the values of a body are counted in its text, at the speed of C, before it is parsed.
"""

import json
import re
from typing import Any

from apps.api.requests.problems import RequestRefused

# The largest request is a check-in: some ten repositories with a few hundred mirrors each, and 2,000 patterns.
MAX_VALUES = 20_000
MAX_DEPTH = 16
MAX_KEYS = 64
MAX_DIGITS = 100
# Unrolled, without alternatives that could both match: linear in the length of the text.
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


def loads(text: bytes) -> Any:
    """The value of a JSON text by RFC 8259 and I-JSON: UTF-8, no NaN, no key twice.

    Raises RequestRefused: invalid_json, or too_complex if it has too many values, keys or levels.
    """
    _check_values(text)
    try:
        value = json.loads(
            text.decode("utf-8"), parse_constant=_no_constant, parse_int=_integer, object_pairs_hook=_distinct_keys
        )
    except RecursionError as error:
        raise _too_complex(f"more than {MAX_DEPTH} levels") from error
    except ValueError as error:
        raise RequestRefused("invalid_json") from error
    _check_depth(value)
    return value


def _check_values(text: bytes) -> None:
    """Refuse more than MAX_VALUES. The signs that separate and open values may also be in a string, such as a log."""
    if _separators(text) > MAX_VALUES and _separators(_STRING.sub(b"", text)) > MAX_VALUES:
        raise _too_complex(f"more than {MAX_VALUES} values")


def _separators(text: bytes) -> int:
    return text.count(b",") + text.count(b"[") + text.count(b"{")


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        inner = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        level = [value for values in inner for value in values if isinstance(value, dict | list)]
        if not level:
            return
    raise _too_complex(f"more than {MAX_DEPTH} levels")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _integer(text: str) -> int:
    """Limits the digits: converting them takes the square of their number, and no field has more than 64 bits."""
    if len(text) > MAX_DIGITS:
        raise _too_complex(f"a number of more than {MAX_DIGITS} digits")
    return int(text)


def _distinct_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_KEYS:
        raise _too_complex(f"an object with more than {MAX_KEYS} keys")
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key twice")
    return result


def _too_complex(what: str) -> RequestRefused:
    return RequestRefused("too_complex", f"The body has {what}; no request needs that.")
