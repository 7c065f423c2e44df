"""Django's sessions in the database, whose rows end as `apps.accounts.session_end` says (SESSION_ENGINE).

The cookie lasts as long as the longest session (SESSION_COOKIE_AGE). It must not know what is in a session.
"""

from datetime import datetime
from typing import Any

from django.contrib.sessions.backends import db
from django.contrib.sessions.models import Session

from apps.accounts import session_end


class SessionStore(db.SessionStore):
    """`ends`: when the session ends that was read from the database; None for another one."""

    ends: datetime | None = None

    def _get_session_from_db(self) -> Any:
        row = super()._get_session_from_db()  # type: ignore[misc]  # django-stubs leaves it out
        self.ends = row.expire_date if row else None
        return row

    def create_model_instance(self, data: dict[str, Any]) -> Session:
        row: Session = super().create_model_instance(data)  # type: ignore[assignment]  # django-stubs names the base
        row.expire_date = session_end.end(data.get(session_end.BEGAN))
        return row
