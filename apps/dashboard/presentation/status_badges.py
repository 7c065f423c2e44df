"""The badge of everything that a page labels: statuses (of apps.fleet.status_badges), changes, effects, alarms.

It must not decide which status anything has.
"""

from apps.fleet.forecast import Effect
from apps.fleet.status_badges import ENDPOINT_BADGES, OPERATION_BADGES, Badge

CHANGE_BADGES = {
    "install": Badge("info", "+", "install"),
    "upgrade": Badge("ok", "↑", "upgrade"),
    "downgrade": Badge("warn", "↓", "downgrade"),
    "remove": Badge("bad", "−", "remove"),
    "replace": Badge("odd", "=", "replace", "another build of the same version"),
    "reason": Badge("off", "•", "reason", "only the install reason changes"),
}
# Between two revisions, for a package that only one of them manages.
MANAGEMENT_BADGES = {
    "manage": Badge("info", "◆", "manage", "the target manages it from then on"),
    "leave": Badge("off", "◇", "leave alone", "every endpoint keeps it as it is from then on"),
}
# By kind of attention item, where the kind is no status, or means more than the status of that name.
ATTENTION_BADGES = {
    "unknown_revision": Badge("bad", "!", "target lost", "an endpoint has seen a target that this server doesn't have"),
    "revoked_source": Badge("bad", "!", "source revoked", "the target comes from an endpoint whose token was revoked"),
    "token_shared": Badge("bad", "!", "token shared", "more than one machine reports with the endpoint's token"),
    "awaits_approval": Badge("warn", "…", "waits for approval", "an operator has to approve the new endpoint"),
    "checksums": Badge("bad", "≠", "checksums differ", "the fleet has more than one file for a package version"),
    "files_differ": Badge("warn", "≠", "files differ", "files on the disk differ from their packages"),
    "databases_unreadable": Badge("odd", "?", "databases unreadable", "a sync database is missing or unreadable"),
    "unapproved_target": Badge("warn", "…", "waits for approval", "automatic sync waits for an operator's approval"),
    "other_architecture": Badge("odd", "≠", "other architecture", "the target is for another architecture"),
    "tokens_expire": Badge("warn", "…", "token expires", "within 14 days, or it has just expired"),
    "resting": Badge(
        "warn",
        "‖",
        "automatic sync rests",
        "the last operation to this target failed, was lost, cancelled, reverted, or rolled back on the machine",
    ),
}
# Short labels next to a name.
LABEL_BADGES = {
    "current_target": Badge("ok", "", "target"),
    "not_approved": Badge("warn", "", "not approved"),
    "token_revoked": Badge("bad", "", "token revoked"),
    "foreign_package": Badge("odd", "", "foreign"),
    "held_package": Badge("off", "", "held"),
    "back": Badge("ok", "●", "back"),
    "nothing_wrong": Badge("ok", "✓", "Nothing"),
}
# Known vulnerabilities: how bad an advisory is, or the worst one of an endpoint.
SEVERITY_BADGES = {
    "severity_critical": Badge("bad", "!", "critical"),
    "severity_high": Badge("bad", "▲", "high"),
    "severity_medium": Badge("warn", "■", "medium"),
    "severity_low": Badge("info", "▼", "low"),
    "severity_unknown": Badge("odd", "?", "severity unknown", "the tracker gives no severity"),
    "severity_none": Badge("ok", "✓", "none", "no advisory of the list concerns an installed package"),
    "severity_not_compared": Badge("off", "…", "not compared yet", "not compared with this list, so nothing is known"),
    "severity_unreported": Badge("off", "○", "not reported", "has never reported, so nothing is known"),
}
# What a pool's target does about a vulnerability of an endpoint.
REMEDY_BADGES = {
    "remedy_fixed": Badge("ok", "✓", "fixes it", "the target has a version that isn't affected"),
    "remedy_removed": Badge("ok", "−", "removes it", "the target doesn't have the package"),
    "remedy_affected": Badge("bad", "✗", "is affected, too", "the target's version is affected as well"),
    "remedy_kept": Badge("off", "‖", "leaves it alone", "no sync touches this package on this endpoint"),
}
# What an API token is good for, by its status.
API_TOKEN_BADGES = {
    "api_token_active": Badge("ok", "✓", "valid"),
    "api_token_expires_soon": Badge("warn", "…", "expires soon", "within 14 days; make a new one and use it instead"),
    "api_token_expired": Badge("bad", "✗", "expired", "the server refuses it"),
    "api_token_owner_inactive": Badge(
        "bad", "✗", "owner deactivated", "the server refuses it: its owner has no access"
    ),
    "api_token_revoked": Badge("off", "✗", "revoked", "the server refuses it, for good"),
}
# In the order of the table of a forecast.
EFFECT_BADGES: dict[Effect, Badge] = {
    Effect.CHANGES: Badge("info", "±", "change", "a sync would change packages"),
    Effect.FOLLOWS: Badge("info", "»", "follow automatically", "automatic sync queues it at their next check-in"),
    Effect.DOWNGRADES: Badge("warn", "↓", "go back", "at least one package gets an older version"),
    Effect.REMOVALS: Badge("bad", "−", "lose packages", "at least one package is removed"),
    Effect.OFFLINE: Badge("off", "○", "offline", "they would change, and start when they are back"),
    Effect.ACTIVE: Badge("info", "▶", "at work", "an operation is queued or under way; it comes first"),
    Effect.PROTECTED: Badge("bad", "✗", "would refuse", "their agents don't let packages be removed that they need"),
    Effect.NO_FILE: Badge(
        "warn",
        "?",
        "may refuse",
        "neither the target nor their own databases know the file of a package: they take it only with a good "
        "signature, or from their cache",
    ),
    Effect.LOCKED_OUT: Badge("bad", "✗", "locked out", "their token was revoked: they can't carry out a sync"),
    Effect.SHARED: Badge(
        "bad", "!", "token shared", "more than one machine reports with the endpoint's token, so no sync is possible"
    ),
    Effect.UNREPORTED: Badge("odd", "?", "not reported yet", "their packages aren't known, so no sync is possible"),
    Effect.OTHER_ARCHITECTURE: Badge(
        "odd", "≠", "other architecture", "the target is for another architecture, so no sync is possible"
    ),
    Effect.DATABASES_UNREADABLE: Badge(
        "odd", "?", "databases unreadable", "which packages are foreign isn't known, so no sync is possible"
    ),
    Effect.NOTHING_LEFT: Badge("bad", "✗", "left with nothing", "no package would be left, so no sync is possible"),
    Effect.NOT_COMPARED: Badge("odd", "?", "not compared", "too many packages, or the time was up"),
    Effect.HELD: Badge("off", "‖", "keep held packages", "the machine holds packages that differ from the target"),
    Effect.FOREIGN: Badge("off", "‖", "keep foreign packages", "they are in no repository, so they stay"),
    Effect.EXCLUDED: Badge(
        "off", "‖", "keep excluded packages", "the pool excludes packages that differ from the target"
    ),
    Effect.UNMANAGED: Badge("off", "‖", "keep unmanaged packages", "the target doesn't manage packages that differ"),
    Effect.UNCHANGED: Badge("ok", "✓", "stay as they are", "a sync would change nothing"),
}
# Tones without a badge: of the events of the audit, by verb, and of messages, by Django's level.
AUDIT_TONES = {
    "succeeded": "ok",
    "failed": "bad",
    "lost": "bad",
    "pause_sync": "bad",
    "block_login": "bad",
    "token_shared": "bad",
    "set_target": "info",
}
MESSAGE_TONES = {"success": "ok", "error": "bad", "warning": "warn", "info": "info", "debug": "off"}
# Why a target doesn't manage a package of its source.
UNMANAGED_REASONS = {
    "dropped": "Dropped upstream",
    "foreign": "In no repository (AUR)",
    "excluded": "Excluded by the pool",
    "held": "Held at the source",
}
_BADGES = {
    **LABEL_BADGES,
    **ATTENTION_BADGES,
    **ENDPOINT_BADGES,
    **OPERATION_BADGES,
    **CHANGE_BADGES,
    **MANAGEMENT_BADGES,
    **SEVERITY_BADGES,
    **REMEDY_BADGES,
    **API_TOKEN_BADGES,
}


def badge_of(name: str) -> Badge:
    """The badge of a status, change or label. A name that isn't known here (of a newer server) gets a neutral one."""
    return _BADGES.get(name) or Badge("off", "•", name.replace("_", " "))


def attention_badge_of(kind: str) -> Badge:
    """The badge of a kind of attention item."""
    return ATTENTION_BADGES.get(kind) or badge_of(kind)
