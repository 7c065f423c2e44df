"""Whether an endpoint reported a problem with a code, asked of the database. It must not know what a code means."""

from typing import Any

from django.db.models import BooleanField, F, Func, Value


class Reported(Func):
    """For `Endpoint.objects.filter(Reported("files_differ"))`; false where nothing was ever reported."""

    output_field = BooleanField()

    def __init__(self, code: str, **extra: Any) -> None:
        super().__init__(F("examination"), Value(code), **extra)

    def as_sqlite(self, compiler: Any, connection: Any, **extra_context: Any) -> Any:
        return self.as_sql(
            compiler,
            connection,
            template="EXISTS (SELECT 1 FROM json_each(%(expressions)s)",
            arg_joiner=") AS one WHERE json_extract(one.value, '$.code') = ",
        )

    def as_postgresql(self, compiler: Any, connection: Any, **extra_context: Any) -> Any:
        return self.as_sql(
            compiler,
            connection,
            template="COALESCE(%(expressions)s::text)), false)",
            arg_joiner=" @> jsonb_build_array(jsonb_build_object('code', ",
        )
