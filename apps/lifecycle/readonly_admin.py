"""An admin for tables whose rows are append-only or derived: it shows them and changes nothing."""

from typing import TYPE_CHECKING, Any, TypeVar

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

M = TypeVar("M", bound=Model)

if TYPE_CHECKING:
    Base = admin.ModelAdmin
else:

    class Base(admin.ModelAdmin):
        """Subscriptable at run time, as in the type stubs."""

        def __class_getitem__(cls, _model: Any) -> type:
            return cls


class ReadOnlyAdmin(Base[M]):
    """Whoever may view the model sees its rows; nobody adds, changes or deletes one."""

    # Counting a table of millions of rows for the footer of a filtered list is not worth it.
    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
