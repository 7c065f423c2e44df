"""The fields that the server's answers must have, and their types and bounds.

A server may be broken, taken over, or something else that answers JSON. It must not know what the agent does with
answers.
"""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Optional

Check = Callable[[Any], bool]

_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")  # of a pool or an endpoint
_TOKEN = re.compile(r"[!-~]{1,500}")
_KINDS = {"sync", "revert"}
_CHANGES = {"install", "remove", "upgrade", "downgrade", "replace", "reason"}
MOST_WANTED = 1000  # texts that a check-in may ask for
LONGEST_POLL = 86400.0  # seconds
LARGEST = 2**31 - 1  # largest number that a server accepts: the agent sends remembered numbers back


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _name(value: Any) -> bool:
    return _text(value) and _NAME.fullmatch(value) is not None


def _token(value: Any) -> bool:
    return _text(value) and _TOKEN.fullmatch(value) is not None


def _number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST


def _seconds(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return bool(math.isfinite(value) and 0 < value <= LONGEST_POLL)


def _identifier(value: Any) -> bool:
    try:
        return bool(str(uuid.UUID(value)) == value)
    except (ValueError, AttributeError, TypeError):
        return False


def _optional(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _any_of(*checks: Check) -> Check:
    return lambda value: any(check(value) for check in checks)


def _list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(check(one) for one in value)


def _object(**fields: Check) -> Check:
    """An object that has at least these fields."""

    def check(value: Any) -> bool:
        return isinstance(value, dict) and all(name in value and test(value[name]) for name, test in fields.items())

    return check


def _digests(value: Any) -> bool:
    return _list_of(is_digest)(value) and len(value) <= MOST_WANTED


def is_digest(value: Any) -> bool:
    """Whether it is a SHA-256 in lower-case hex."""
    return _text(value) and _DIGEST.fullmatch(value) is not None


def _counts(value: Any) -> bool:
    return isinstance(value, dict) and all(_number(count) for count in value.values())


_OPERATION = {
    "id": _identifier,
    "kind": lambda value: _text(value) and value in _KINDS,
    "status": _text,
    "plan": _optional(_counts),
    "base_state": _text,
    "target_state": _text,
    "result": _optional(_object()),
}
_LAST_FAILURE = _object(kind=_text, status=_text, finished=_text)
_RESTING = _object(why=_text, since=_text)
_UNMANAGED = _list_of(_object(name=_text, why=_text))
_REVISION = _object(number=_number, digest=is_digest)
_TARGET = _optional(_object(number=_number))
_VERSION = _optional(_object(version=_text, arch=_text, reason=_text))
# By request: the fields of its answer. One with a question mark may be missing or null.
_SHAPES: tuple[tuple[str, dict[str, Check]], ...] = (
    (
        r"POST /enroll",
        {
            "id": _any_of(_text, _number),
            "name": _name,
            "token": _token,
            "pool": _optional(_name),
            "awaits_approval?": _flag,
        },
    ),
    (r"PUT /me/token", {"name": _name}),
    (
        r"POST /checkin",
        {
            "want": _digests,
            "status": _optional(_text),
            "pool": _optional(_name),
            "target": _TARGET,
            "revision?": _REVISION,
            "operation": _optional(_object(**_OPERATION)),
            "rotate_token?": _flag,
            "awaits_approval?": _flag,
            "token_shared?": _flag,
            "poll_seconds": _seconds,
        },
    ),
    (
        r"GET /me",
        {
            "name": _name,
            "status?": _text,
            "pool?": _name,
            "pool_id?": _identifier,
            "target?": _any_of(_TARGET, _number),
            "difference?": _counts,
            "operation?": _object(**_OPERATION),
            "last_failure?": _LAST_FAILURE,
            "resting?": _RESTING,
            "holds?": _list_of(_text),
            "foreign?": _list_of(_text),
            "unmanaged?": _UNMANAGED,
            "problems?": _list_of(_object(text=_text)),
        },
    ),
    (
        r"GET /endpoints/[^/]+/diff(\?fetch=true)?",
        {
            "equal": lambda value: isinstance(value, bool),
            "counts": _counts,
            "kept": lambda value: isinstance(value, dict) and all(map(_list_of(_text), value.values())),
            "unmanaged?": _UNMANAGED,
            "fetch?": _list_of(_object()),
            "changes": _list_of(
                _object(
                    **{"name": _text, "from": _VERSION, "to": _VERSION},
                    change=lambda value: _text(value) and value in _CHANGES,
                )
            ),
        },
    ),
    (r"POST /operations", _OPERATION),
    (r"GET /operations/[^/]+", _OPERATION),
    (r"POST /operations/[^/]+/result", _OPERATION),
    (
        r"POST /operations/[^/]+/claim",
        {
            "operation": _object(**_OPERATION),
            "lease_seconds": _seconds,
            "target": lambda value: (
                isinstance(value, dict)
                and _optional(_UNMANAGED)(value.get("unmanaged"))
                and _optional(_REVISION)(value.get("revision"))
            ),
            "fetch": _list_of(_object()),
        },
    ),
    (r"POST /pools/[^/]+/targets", {"number": _number, "unmanaged?": _UNMANAGED}),
)


def problem(method: str, path: str, answer: Mapping[str, Any]) -> Optional[str]:
    """What is wrong with the answer to this request, in one clause; None when it is fine."""
    for pattern, fields in _SHAPES:
        if re.fullmatch(pattern, f"{method} {path}"):
            for field, check in fields.items():
                name = field.rstrip("?")
                if name != field and answer.get(name) is None:
                    continue
                if name not in answer:
                    return f"its answer to {method} {path} has no {name}"
                if not check(answer[name]):
                    return f"{name} of its answer to {method} {path} makes no sense"
    return None


def printable_answer(value: Any, *, lines: bool = False) -> Any:
    """The answer with every control character in its texts replaced, so that it may be printed, each text on one line.

    `lines`: a text may have several lines, as in the `result` of an operation, which an agent wrote.
    """
    if isinstance(value, str):
        return (
            value
            if value.isprintable()
            else "".join(letter if letter.isprintable() else _instead(letter, lines) for letter in value)
        )
    if isinstance(value, list):
        return [printable_answer(one, lines=lines) for one in value]
    if isinstance(value, dict):
        return {
            printable_answer(key): printable_answer(one, lines=lines or key == "result") for key, one in value.items()
        }
    return value


def _instead(letter: str, lines: bool) -> str:
    if letter in "\n\t":
        return letter if lines else " "
    return "?"
