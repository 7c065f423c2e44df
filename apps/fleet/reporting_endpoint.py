"""The two statements of a check-in that changes nothing: read the endpoint of a token, and note that it was there.

The endpoint comes with its pool, target and repositories, and with what is known of its case
(`apps.fleet.status_cases`). Thousands of agents ask this every minute, so the statements are put together once in a
process: that took longer than the database took to answer them. It must not know what the endpoint reports.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection
from django.db.models import Exists, F, Field, Model, OuterRef, QuerySet, Subquery, TextField
from django.db.models.expressions import RawSQL

from apps.lifecycle.dbpool import facade

from . import status_cases
from .models import Endpoint, EndpointRepository, Operation, Pool, StatusCase, TargetRevision
from .models.endpoints import AlsoRead

Converter = Callable[[Any, Any, Any], Any]
_TOKEN = "the hash of the token"  # noqa: S105 - stands in the parameters where each call has its own
# A revision's lists can be long, and the usual check-in needs none of them.
_LEFT_OUT = ("pool__target__unmanaged", "pool__target__repositories")
_MODELS: dict[str, type[Model]] = {"": Endpoint, "pool__": Pool, "pool__target__": TargetRevision}
# [[name, digest, [mirror, …]], …] in pacman's order, as text: the drivers differ in what they make of JSON.
_REPOSITORIES = {
    "postgresql": "SELECT json_agg(json_build_array(r.name, r.content_id, r.mirrors) ORDER BY r.position)::text"
    " FROM {repositories} r WHERE r.endpoint_id = {endpoints}.id",
    "sqlite": "SELECT json_group_array(json_array(r.name, r.content_id, json(r.mirrors)))"
    " FROM (SELECT * FROM {repositories} WHERE endpoint_id = {endpoints}.id ORDER BY position) r",
}
# The database's clock, as Django's `Now` spells it.
_NOW = {"postgresql": "STATEMENT_TIMESTAMP()", "sqlite": "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'NOW')"}
_TOUCH = (
    f"UPDATE {Endpoint._meta.db_table} SET report_seq = %s, last_seen = {{now}}"  # noqa: S608 - our table
    " WHERE id = %s AND report_seq = %s AND state_id = %s"
)


def of_token(token_hash: str) -> Endpoint | None:
    """The endpoint of the token with this hash, with `also_read`; None if there is none. One statement."""
    statement = _statement(connection.vendor, settings.STATE_MAX_PACKAGES)
    parameters = [token_hash if one == _TOKEN else one for one in statement.parameters]
    with facade.execute_prepared(statement.text, parameters) as cursor:
        row = cursor.fetchone()
    return statement.endpoint(row) if row else None


def touch(endpoint: Endpoint, seq: int) -> bool:
    """Set `report_seq` and `last_seen`; False if its report or state has changed since it was read. One statement."""
    parameters = [seq, endpoint.pk, endpoint.report_seq, endpoint.state_id]
    with facade.execute_prepared(_TOUCH.format(now=_NOW[connection.vendor]), parameters) as cursor:
        return bool(cursor.rowcount)


class _Part(NamedTuple):
    """The columns of one model in the row: from `first` on, one for each field."""

    model: type[Model]
    first: int
    names: list[str]
    converters: list[list[Converter]]

    def instance(self, row: tuple[Any, ...]) -> Any:
        """An instance of the model; None if the row has none."""
        values = list(row[self.first : self.first + len(self.names)])
        if values[0] is None:  # the primary key
            return None
        for place, converters in enumerate(self.converters):
            for convert in converters:
                values[place] = convert(values[place], None, connection)
        return self.model.from_db(connection.alias, self.names, values)


@dataclass(frozen=True)
class _Statement:
    text: str
    parameters: tuple[Any, ...]
    endpoints: _Part
    pools: _Part
    targets: _Part

    def endpoint(self, row: tuple[Any, ...]) -> Endpoint:
        found: Endpoint = self.endpoints.instance(row)
        found.pool = self.pools.instance(row)
        if found.pool is not None:
            found.pool.target = self.targets.instance(row)
        repositories, has_operation, verdict = row[-3:]
        listed = [(name, digest, mirrors) for name, digest, mirrors in json.loads(repositories or "[]")]
        found.also_read = AlsoRead(repositories=listed, has_operation=bool(has_operation), verdict=verdict)
        return found


@cache
def _statement(vendor: str, package_limit: int) -> _Statement:
    columns: list[str] = []
    parts = [_part(model, prefix, columns) for prefix, model in _MODELS.items()]
    quote = connection.ops.quote_name
    tables = {"repositories": quote(EndpointRepository._meta.db_table), "endpoints": quote(Endpoint._meta.db_table)}
    repositories = RawSQL(_REPOSITORIES[vendor].format(**tables), [], TextField())  # noqa: S611 - names of tables
    operation = Exists(Operation.objects.active().filter(endpoint=OuterRef("pk")))
    verdict = Subquery(_cases(package_limit).values("verdict")[:1])
    rows = Endpoint.objects.filter(token_hash=_TOKEN).values_list(*map(F, columns), repositories, operation, verdict)
    text, parameters = rows.query.sql_with_params()
    return _Statement(text, tuple(parameters), *parts)


def _cases(package_limit: int) -> QuerySet[StatusCase]:
    """The case of the endpoint around it, by all that a case depends on; none if it isn't compared yet."""
    own = {name: OuterRef(name) for name in ("state", "arch", "holds", "foreign")}
    goal = {"revision": OuterRef("pool__target_id"), "excluded": OuterRef("pool__excluded_packages")}
    return StatusCase.objects.filter(**own, **goal, package_limit=package_limit, rules=status_cases.RULES)


def _part(model: type[Model], prefix: str, columns: list[str]) -> _Part:
    """The model's part of the row; adds its columns, as the ORM calls them."""
    fields = [field for field in model._meta.concrete_fields if prefix + field.attname not in _LEFT_OUT]
    names, first = [field.attname for field in fields], len(columns)
    columns += [prefix + name for name in names]
    return _Part(model, first, names, [_converters(field) for field in fields])


def _converters(field: "Field[Any, Any]") -> list[Converter]:
    """What Django itself does with this column's value: first the database's part, then the field's."""
    column = field.get_col(field.model._meta.db_table)
    return [*connection.ops.get_db_converters(column), *column.get_db_converters(connection)]
