"""Whether the target in a claim makes sense. It must not know how the machine gets there."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from apps.fleet.alpm import state
from apps.fleet.alpm.state import InstalledPackage

from ..errors import Failed

FIELDS = ("name", "version", "arch", "reason")


def goal_of(claim: dict[str, Any]) -> list[InstalledPackage]:
    """The packages in the claim, checked against the digest of the operation's target. Raises Failed."""
    target = claim["target"]
    try:
        goal = [InstalledPackage(*(package[key] for key in FIELDS)) for package in target["packages"]]
        if state.digest_of(state.to_text(goal)) == claim["operation"]["target_state"]:
            return goal
        reason = "its packages don't have its digest"
    except (KeyError, TypeError, ValueError) as error:
        reason = str(error)
    raise Failed("target_invalid", f"The server's target makes no sense: {reason}.", "Look at the server's log.")


def check_unmanaged(
    claim: dict[str, Any], base: Collection[InstalledPackage], goal: Collection[InstalledPackage]
) -> None:
    """Raise Failed when the goal changes a package that the target itself says it doesn't manage."""
    names = {entry["name"] for entry in claim["target"].get("unmanaged") or ()}
    changed = {package.name for package in set(base) ^ set(goal)} & names
    if changed:
        listed = ", ".join(sorted(changed)[:10])
        raise Failed(
            "target_invalid",
            f"The server's target makes no sense: it changes {listed}, which it doesn't manage.",
            "Look at the server's log.",
        )
