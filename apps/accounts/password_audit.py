"""Password changes in the audit, whichever page or command makes them. It must not know the passwords.

Django tells every password validator (AUTH_PASSWORD_VALIDATORS) of each password that was saved. This is one that
refuses none.
"""

from typing import Any

from apps.accounts.middleware import current_user
from apps.fleet import audit


class PasswordAudit:
    def validate(self, password: str, user: Any = None) -> None:
        """Any password will do."""

    def get_help_text(self) -> str:
        """A line of its own in the list of rules, as of each validator."""
        return "The audit records that it was set, not what it is."

    def password_changed(self, password: str, user: Any = None) -> None:
        """Record whose password somebody has set; a new hash of the same password isn't one."""
        by = current_user()
        actor = f"user:{by.get_username()}" if by else audit.CONSOLE
        audit.record(actor=actor, verb="change_password", object=f"user:{user.get_username()}")
