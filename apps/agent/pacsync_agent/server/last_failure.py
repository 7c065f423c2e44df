"""The last failed sync, and the automatic sync that rests since, by the server's answer: as lines of `status`.

An older server's answer has neither. It must not send requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ENDED = {"failed": "failed", "lost": "was lost"}
_RESTS = {**_ENDED, "cancelled": "was cancelled", "reverted": "was reverted", "rolled_back": "was rolled back here"}


def lines(known: Mapping[str, Any]) -> list[str]:
    """A line each for the last operation, the current one's last try, and automatic sync, where they apply."""
    failed, resting, operation = known.get("last_failure"), known.get("resting"), known.get("operation") or {}
    found = []
    if failed:
        ended = _ENDED.get(failed["status"], "failed")
        found.append(f"  the last {failed['kind']} {ended} at {moment(failed['finished'])}{_cause(failed)}")
    if operation.get("retry_at") and operation.get("result"):
        found.append(f"  its last try failed{_cause(operation['result'])}")
    if resting:
        why = _RESTS.get(resting["why"], "failed")
        since = moment(resting["since"])
        found.append(f"  automatic sync rests since {since}, because the last sync {why}; an operator can resume it")
    return found


def moment(text: str) -> str:
    """A time in the server's answers (ISO 8601, UTC) for people, to the minute."""
    return f"{text[:16].replace('T', ' ')} UTC"


def _cause(said: Mapping[str, Any]) -> str:
    """The first line of the message, else the code, as the end of a sentence."""
    first = str(said.get("message") or "").partition("\n")[0] or str(said.get("code") or "")
    return f": {first}" if first else ""
