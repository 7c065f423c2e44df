"""Text that is compared byte by byte, so that no library of the database's host has a say in what is unique.

It must not know which models use it or why two texts must differ.
"""

from typing import TYPE_CHECKING, Any, TypeVar

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper


class Bytewise:
    """Gives a text field the collation "C" on PostgreSQL. SQLite compares text so by default (BINARY).

    The order of any other collation belongs to the C library or ICU of PostgreSQL's host. When that changes under an
    existing index (another image, another version), a search misses rows that are there, and a UNIQUE constraint lets
    them be made twice.
    """

    def db_parameters(self, connection: BaseDatabaseWrapper) -> dict[str, Any]:
        parameters: dict[str, Any] = super().db_parameters(connection)  # type: ignore[misc]
        return parameters | {"collation": "C"} if connection.vendor == "postgresql" else parameters


if TYPE_CHECKING:
    _Set = TypeVar("_Set", contravariant=True)
    _Get = TypeVar("_Get", covariant=True)

    class BytewiseCharField(models.CharField[_Set, _Get]):
        """For the type checker: django-stubs derives the types of values from these."""

        _pyi_private_set_type: str
        _pyi_private_get_type: str
        _pyi_lookup_exact_type: Any
else:

    class BytewiseCharField(Bytewise, models.CharField):
        pass
