"""The result of one attempt: its exit code and its sentence. Standard library only.

It must not know how it was found out or how it is printed.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

from apps.health.checking.readiness_sentences import SENTENCES

READY, NOT_READY, UNDETERMINED = 0, 1, 2
STATUS = {READY: "ready", NOT_READY: "not_ready", UNDETERMINED: "undetermined"}

Result = dict[str, Any]
"""`exit_code`, `status`, `message` (a sentence), `timestamp`; if known `reason`, `dependencies`, `component`."""


def result(code: int, message: str, **known: Any) -> Result:
    """The result of one attempt; `known` fields that are empty are left out."""
    return {
        "status": STATUS[code],
        "exit_code": code,
        "message": message,
        **{key: value for key, value in known.items() if value},
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def ready(**known: Any) -> Result:
    """The result when requests can be served."""
    return result(READY, SENTENCES[""].command, **known)


def not_ready(reason: str, dependencies: dict[str, str], detail: str = "") -> Result:
    """The result for a reason of /health/ready. `detail` is added to the sentence."""
    known = SENTENCES.get(reason)  # an instance of another release may have another one
    message = known.command if known else "The server is not ready."
    if dependencies:
        message += ": " + ", ".join(f"{name} is {status}" for name, status in dependencies.items()) + "."
    return result(NOT_READY, f"{message} {detail}".strip(), reason=reason, dependencies=dependencies)


def component_result(name: str, found: dict[str, str], details: dict[str, str] | None = None) -> Result:
    """The result for one component; `found` has the status of all components."""
    if name not in found:
        return result(UNDETERMINED, f"There is no component {name!r}. There are: {', '.join(sorted(found))}.")
    works = found[name] in ("healthy", "degraded")
    message = f"{name} is {found[name]}. {(details or {}).get(name, '')}".strip()
    return result(READY if works else NOT_READY, message, component={"name": name, "status": found[name]})


def bounded(work: Callable[[], Result], limit: float, late: Callable[[], Result]) -> Result:
    """What `work` returns, or after `limit` seconds what `late` returns; `work` then continues in a daemon thread."""
    found: list[Result] = []
    thread = threading.Thread(target=lambda: found.append(work()), daemon=True)
    thread.start()
    thread.join(limit)
    return found[0] if found else late()
