"""What to do next with a machine that has just been enrolled. It must not send requests."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from typing import Any, Optional


def after_enrolment(
    server: str,
    name: str,
    pool: Optional[str],
    checked_in: Optional[Mapping[str, Any]],
    *,
    awaits_approval: bool = False,
) -> str:
    """One or two sentences. `checked_in`: the server's answer to the first report, None if there was none."""
    page = f"{server}/endpoints/{urllib.parse.quote(name, safe='')}"
    if awaits_approval:
        return f"an operator approves it, on {page}. Until then it gets no target."
    if not pool:
        return f"put it into a pool, on {page}. A pool's machines are brought to the same packages."
    if checked_in is None:
        return f"`pacsync-agent once`, when that is put right. Its page is {page}."
    if not checked_in.get("target"):
        return (
            f"pool {pool} needs a target, the packages that all of its machines should have. If they should have those "
            f"of this machine, run `pacsync-agent set-latest` here; or set it on "
            f"{server}/pools/{urllib.parse.quote(pool, safe='')}."
        )
    if checked_in.get("status") == "in_sync":
        return f"nothing. It is in sync with its pool's target; its page is {page}."
    return (
        "`pacsync-agent diff` shows what a sync would change here, and `pacsync-agent sync` does it; so does Sync "
        f"on {page}."
    )
