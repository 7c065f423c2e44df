"""How the statuses of the health page are shown. It must not decide which status anything has."""

from apps.fleet.status_badges import Badge

CHECK_BADGES = {
    "healthy": Badge("ok", "✓", "healthy"),
    "degraded": Badge("warn", "!", "degraded"),
    "unhealthy": Badge("bad", "✕", "unhealthy"),
    "not_initialized": Badge("bad", "✕", "not initialized"),
}
NOT_READY_BADGE = Badge("info", "…", "not ready")  # of an instance that is healthy but takes no requests
PHASE_BADGES = {
    "starting": Badge("info", "", "starting"),
    "serving": Badge("ok", "", "serving"),
    "draining": Badge("info", "", "draining"),
    "stopping": Badge("info", "", "stopping"),
    "lost": Badge("bad", "", "lost"),
}
