"""The web pages for people. It renders what apps.fleet returns, and holds no rule."""

from django.apps import AppConfig


class DashboardConfig(AppConfig):
    name = "apps.dashboard"
    label = "dashboard"

    def ready(self) -> None:
        from apps.dashboard import sessions
        from apps.fleet import signed_revisions
        from apps.lifecycle.work.chores import register_chore
        from apps.lifecycle.wsgi import body_limits

        body_limits.allow("POST", "/pools/", signed_revisions.LIMIT)
        register_chore("expired_sessions", sessions.CLEAR_SECONDS, sessions.clear_expired)
