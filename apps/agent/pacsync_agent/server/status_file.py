"""The server's last answer about this machine, for `status` without root or without the server. It has no secret.

It must not know how it is shown.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from ..system import files

Status = dict[str, Any]


def path(directory: Path) -> Path:
    return directory / "status.json"


def keep(directory: Path, answer: Mapping[str, Any], *, name: str, server: str, state: object) -> None:
    """Keep the server's answer to a check-in, or to `GET /me`. `state`: the digest of what is installed."""
    target = answer.get("target") or {}
    # The answer to a check-in doesn't have these; every operation ends with `GET /me`, which does.
    known = answer if "last_failure" in answer else load(directory) or {}
    value = {
        "name": name,
        "server": server,
        "pool": answer.get("pool"),
        "status": answer.get("status"),
        "target": target.get("number"),
        "state": state,
        "last_failure": known.get("last_failure"),
        "checked_in": int(time.time()),
    }
    files.keep_json(path(directory), value, mode=0o644)


def load(directory: Path) -> Optional[Status]:
    """The kept answer, with its `age` in seconds; None without a readable one."""
    try:
        kept = files.read_json(path(directory))
        if kept is None:
            return None
        return {**kept, "age": max(0, int(time.time()) - int(kept.get("checked_in", 0)))}
    except (OSError, ValueError, TypeError):
        return None
