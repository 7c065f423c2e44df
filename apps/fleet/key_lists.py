"""Many primary keys as one parameter: SQLite takes no more parameters than it was built for (32,766 by default).

A list that the database makes and gets back for the next statement is a text, which nobody reads in between. It must
not know whose keys they are.
"""

import json
from collections.abc import Iterable
from typing import Any

from django.db import connection
from django.db.models import BooleanField, F, Func, Model, UUIDField, Value
from django.db.models.expressions import RawSQL


def among(model: type[Model], keys: Iterable[Any]) -> RawSQL:
    """For `model.objects.filter(pk__in=among(model, keys))`; keys are numbers or UUIDs, as the model has them."""
    has_uuids = isinstance(model._meta.pk, UUIDField)
    if connection.vendor == "postgresql":
        # As text: psycopg takes ten times as long for a list.
        text = "{" + ",".join(map(str, keys)) + "}"
        return RawSQL(f"SELECT unnest(%s::{'uuid' if has_uuids else 'bigint'}[])", [text])  # noqa: S611 - a type
    stored = [key.hex if has_uuids else key for key in keys]
    return RawSQL("SELECT value FROM json_each(%s)", [json.dumps(stored)])


def aggregated(column: str, only: str = "true") -> str:
    """The SQL of an aggregate: the numbers of a column of SQL, as the text that `IsAmong` takes; `only` is a condition.

    If it holds nowhere, PostgreSQL says NULL.
    """
    if connection.vendor == "postgresql":
        return f"(array_agg({column}) FILTER (WHERE {only}))::text"
    return f"json_group_array({column}) FILTER (WHERE {only})"


def text_of(keys: Iterable[int]) -> str:
    """The same of numbers that are here."""
    return joined(f"[{key}]" for key in keys)


def joined(texts: Iterable[str]) -> str:
    """All numbers of such texts in one; none of them is of no number."""
    listed = ",".join(text[1:-1] for text in texts)
    return f"{{{listed}}}" if connection.vendor == "postgresql" else f"[{listed}]"


class IsAmong(Func):
    """For `model.objects.filter(IsAmong(text))`: the primary key, a number, is in the list.

    PostgreSQL looks each row up in a table of the list's numbers, and may read the rows in the order of an index until
    there are enough. `among` is a join, for which it reads all of them.
    """

    output_field = BooleanField()

    def __init__(self, text: str, **extra: Any) -> None:
        super().__init__(F("pk"), Value(text), **extra)

    def as_sqlite(self, compiler: Any, connection: Any, **extra_context: Any) -> Any:
        template = "%(expressions)s))"
        joiner = " IN (SELECT value FROM json_each("
        return self.as_sql(compiler, connection, template=template, arg_joiner=joiner, **extra_context)

    def as_postgresql(self, compiler: Any, connection: Any, **extra_context: Any) -> Any:
        template = "%(expressions)s::bigint[])"
        return self.as_sql(compiler, connection, template=template, arg_joiner=" = ANY(", **extra_context)
