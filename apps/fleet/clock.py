"""The database's clock, the only one that leases, deadlines and `last_seen` use. It must not know what it is for.

Clocks of servers differ; every replica sees the same database.
"""

from datetime import UTC, datetime, timedelta

from django.db import connection
from django.db.models import DateTimeField, DurationField, Expression, ExpressionWrapper, Value
from django.db.models.functions import Now


def now() -> datetime:
    """The time on the database's clock, aware (UTC). One query."""
    postgresql = connection.vendor == "postgresql"
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()" if postgresql else "SELECT strftime('%Y-%m-%d %H:%M:%f')")
        (value,) = cursor.fetchone()
    return value if isinstance(value, datetime) else datetime.fromisoformat(value).replace(tzinfo=UTC)


def moved(delta: timedelta) -> Expression:
    """The database's now moved by `delta`, as an expression for filters and updates."""
    shift = Value(delta, output_field=DurationField())
    return ExpressionWrapper(Now() + shift, output_field=DateTimeField())
