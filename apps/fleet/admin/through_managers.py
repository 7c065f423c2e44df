"""An admin whose writes are the managers' functions; a refusal of theirs is a message, and nothing is written."""

from collections.abc import Iterable
from typing import Any, TypeVar

from django.contrib import messages
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from apps.fleet import roles
from apps.fleet.exceptions import FleetError
from apps.fleet.models import Role
from apps.lifecycle.readonly_admin import Base

M = TypeVar("M", bound=Model)


def actor(request: HttpRequest) -> str:
    """The name under which a change is recorded."""
    return f"user:{request.user.get_username()}"


def _may_change(request: HttpRequest) -> bool:
    """Whether the person's role lets them change the fleet, as on the pages, whatever Django permissions they have."""
    return roles.may(request.user, Role.OPERATOR)


class ThroughManagers(Base[M]):
    """Subclasses say how to create, change and delete one object with a manager's function."""

    list_per_page = 50
    save_on_top = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _may_change(request) and super().has_add_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _may_change(request) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _may_change(request) and super().has_delete_permission(request, obj)

    def create(self, request: HttpRequest, values: dict[str, Any]) -> M:
        """The new object. Raises FleetError."""
        raise NotImplementedError

    def change(self, request: HttpRequest, obj: M, values: dict[str, Any]) -> None:
        """Change `obj`, fresh from the database, to the `values` that were edited. Raises FleetError."""
        raise NotImplementedError

    def delete(self, request: HttpRequest, obj: M) -> None:
        """Raises FleetError."""
        raise NotImplementedError

    def save_model(self, request: HttpRequest, obj: M, form: Any, change: bool) -> None:
        if change:
            values = {name: form.cleaned_data[name] for name in form.changed_data}
            self.change(request, self.get_queryset(request).get(pk=obj.pk), values)
        else:
            obj.pk = self.create(request, form.cleaned_data).pk

    def delete_model(self, request: HttpRequest, obj: M) -> None:
        self.delete(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        for obj in queryset:
            self.delete(request, obj)

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Only the objects themselves: what goes with them is the managers' business, and read-only on its own."""
        found = list(objs)
        return [str(obj) for obj in found], {str(self.opts.verbose_name_plural): len(found)}, set(), []

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        # The inner view is one transaction: a refusal rolls back the admin's own log entry too.
        try:
            return super().changeform_view(request, *args, **kwargs)
        except FleetError as refusal:
            return self._refused(request, [refusal])

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return super().delete_view(request, *args, **kwargs)
        except FleetError as refusal:
            return self._refused(request, [refusal])

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> TemplateResponse | HttpResponse:
        try:
            return super().changelist_view(request, *args, **kwargs)
        except FleetError as refusal:
            return self._refused(request, [refusal])

    def _refused(self, request: HttpRequest, refusals: Iterable[FleetError]) -> HttpResponseRedirect:
        for refusal in refusals:
            self.message_user(request, str(refusal), messages.ERROR)
        return HttpResponseRedirect(request.get_full_path())
