"""Lists by cursor: the next page begins after the last row of this one, so inserts shift nothing.

A cursor is signed: it can't be made up or used for another list. It must not know which lists there are.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, Protocol, TypeVar

from django.core import signing
from django.db import connection
from django.db.models import DateTimeField, F, Model, Q, QuerySet, TextField
from django.db.models.functions import Cast
from ninja import Query
from pydantic import BaseModel, BeforeValidator, Field

from apps.api.requests.fields import decimal
from apps.api.requests.problems import RequestRefused

Row = TypeVar("Row", bound=Model)
Item = TypeVar("Item")
NamedItem = TypeVar("NamedItem", bound="Named")

Limit = Annotated[int, BeforeValidator(decimal), Query(50, ge=1, le=200, description="Items per page.")]
CursorText = Annotated[str | None, Query(None, max_length=1000, description="`next` of the page before.")]


class Page(BaseModel, Generic[Item]):
    """One page of a list; `next` is the cursor of the one after, null on the last."""

    items: list[Item]
    next: str | None = Field(description="Give it as `cursor` to get the next page.")


def paginate(
    rows: QuerySet[Row],
    *,
    order: Sequence[str],
    limit: int,
    cursor: str | None,
    render: Callable[[Row], Item],
) -> Page[Item]:
    """One page of `rows`, in one statement. `order` has fields that are unique together, all with `-` or none.

    Raises RequestRefused (invalid_cursor).
    """
    found, following = page_of(rows, order=order, limit=limit, cursor=cursor)
    return Page(items=[render(row) for row in found], next=following)


def page_of(
    rows: QuerySet[Row],
    *,
    order: Sequence[str],
    limit: int,
    cursor: str | None,
) -> tuple[list[Row], str | None]:
    """The rows of one page, and the next one's cursor. `order` may name annotations; none of them may be null.

    Raises RequestRefused (invalid_cursor).
    """
    rows, fields = _comparable(rows, [field.lstrip("-") for field in order])
    salt = f"{rows.model.__name__}:{','.join(order)}"
    after = _values(cursor, salt, len(fields)) if cursor is not None else None
    found = _read(rows.order_by(*order), fields, after, limit + 1, descending=order[0][0] == "-")
    page = found[:limit]
    more = len(found) > limit
    return page, signing.dumps(_key(page[-1], fields), salt=salt) if more else None


class Named(Protocol):
    """An item of a list that is sorted by a unique name."""

    @property
    def name(self) -> str: ...


def page_of_names(
    read: Callable[[str], Sequence[NamedItem]], what: str, *, limit: int, cursor: str | None
) -> tuple[Sequence[NamedItem], str | None]:
    """The items of one page of a list that isn't made of rows, and the next one's cursor.

    `read` returns the items after a name, in that order; `what` tells this list's cursors from those of others.
    Raises RequestRefused (invalid_cursor).
    """
    (after,) = _values(cursor, what, 1) if cursor is not None else ("",)
    found = read(after)
    more = len(found) > limit
    return found[:limit], signing.dumps([found[limit - 1].name], salt=what) if more else None


def _comparable(rows: QuerySet[Row], fields: Sequence[str]) -> tuple[QuerySet[Row], list[str]]:
    """The rows, and the names by which their order is compared.

    SQLite keeps times as text. What its clock wrote has milliseconds, what Python asks for has microseconds, and
    `….123` comes before `….123000`, so a row could follow itself. There the text is compared as it was stored.
    """
    if connection.vendor != "sqlite":
        return rows, list(fields)
    times = [field for field in fields if isinstance(_type(rows, field), DateTimeField)]
    kept = {f"{field}_as_kept": Cast(F(field), TextField()) for field in times}
    return rows.annotate(**kept), [f"{field}_as_kept" if field in times else field for field in fields]


def _type(rows: QuerySet[Row], field: str) -> Any:
    annotation = rows.query.annotations.get(field)
    return annotation.output_field if annotation is not None else rows.model._meta.get_field(field)


def _read(
    rows: QuerySet[Row], fields: Sequence[str], after: Sequence[Any] | None, size: int, *, descending: bool
) -> list[Row]:
    if after is not None:
        rows = rows.filter(_after(fields, after, descending=descending))
    return list(rows[:size])


def _key(row: Model, fields: Sequence[str]) -> list[str]:
    return [_text(row, field) for field in fields]


def _text(row: Model, field: str) -> str:
    """The value of a field or an annotation, as text for a filter."""
    value = getattr(row, field)
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _values(cursor: str, salt: str, count: int) -> list[str]:
    try:
        values: list[str] = signing.loads(cursor, salt=salt)
    except (signing.BadSignature, ValueError) as error:
        raise RequestRefused("invalid_cursor") from error
    if len(values) != count:
        raise RequestRefused("invalid_cursor")
    return values


def _after(fields: Sequence[str], values: Sequence[Any], *, descending: bool) -> Q:
    """Rows after `values`: the first field is beyond its value, or equal and the rest is beyond."""
    beyond = "lt" if descending else "gt"
    condition = Q(**{f"{fields[0]}__{beyond}": values[0]})
    if len(fields) > 1:
        condition |= Q(**{fields[0]: values[0]}) & _after(fields[1:], values[1:], descending=descending)
    return condition
