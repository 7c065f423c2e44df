"""The accounts of people: who may try a password, what is recorded of it, how long a session lasts."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "apps.accounts"
    label = "accounts"

    def ready(self) -> None:
        """Record logins, and have the server forget old wrong passwords and write when sessions were used."""
        from apps.accounts import login_audit, login_failures, session_end
        from apps.lifecycle.work import deferred_writes
        from apps.lifecycle.work.chores import register_chore

        login_audit.connect()
        register_chore("login_failures", login_failures.FORGET_SECONDS, login_failures.forget)
        deferred_writes.register(session_end.USES, session_end.write_uses)
