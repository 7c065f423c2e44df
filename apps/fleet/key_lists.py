"""Many primary keys as one parameter: SQLite takes no more parameters than it was built for (32,766 by default).

It must not know whose keys they are.
"""

import json
from collections.abc import Iterable
from typing import Any

from django.db import connection
from django.db.models import Model, UUIDField
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
