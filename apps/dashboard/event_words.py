"""What people did with an endpoint, in words. It must not decide what is worth being told."""

from typing import Any

from apps.fleet.models import AuditEvent

_PLAIN = {
    "enroll": "Enrolled",
    "rotate_token": "Got a new token",
    "revoke_token": "Its token was revoked",
    "resume_sync": "Automatic sync goes on",
}


def of_audit(event: AuditEvent) -> str:
    """`Moved from lab to prod`; the verb itself for what is not known here (a newer release's)."""
    before, after = _fields(event.before), _fields(event.after)
    if event.verb == "assign":
        return _moved(before.get("pool"), after.get("pool"))
    if event.verb == "change_rights":
        return "May set targets" if after.get("may_set_targets") else "May no longer set targets"
    if event.verb == "enroll" and after.get("pool"):
        return f"Enrolled into {after['pool']}"
    return _PLAIN.get(event.verb, event.verb.replace("_", " ").capitalize())


def _moved(source: str | None, goal: str | None) -> str:
    if source and goal:
        return f"Moved from {source} to {goal}"
    return f"Put into {goal}" if goal else f"Taken out of {source}"


def _fields(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
