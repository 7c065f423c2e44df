"""Endpoints (assigned and forgotten through endpoint_manager) and what they reported (derived)."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.fleet import endpoint_manager
from apps.fleet.models import Endpoint, EndpointRepository, EndpointState, OfflinePeriod
from apps.lifecycle.readonly_admin import ReadOnlyAdmin

from .through_managers import ThroughManagers, actor


@admin.register(Endpoint)
class EndpointAdmin(ThroughManagers[Endpoint]):
    list_display = ("name", "pool", "may_set_targets", "arch", "agent_version", "last_seen", "report_seq", "created")
    list_filter = ("may_set_targets", "arch", "agent_version", "pool")
    list_select_related = ("pool",)
    search_fields = ("name", "pool__name", "state__digest")
    ordering = ("name",)
    # Only pool and right can be chosen; the rest is what the machine said when it enrolled or reported.
    fields = (
        "name",
        "pool",
        "may_set_targets",
        "arch",
        "agent_version",
        "state",
        "report_seq",
        "last_seen",
        "holds",
        "foreign",
        "examination",
        "protected",
        "created",
    )
    readonly_fields = tuple(name for name in fields if name not in {"pool", "may_set_targets"})

    def get_queryset(self, request: HttpRequest) -> QuerySet[Endpoint]:
        return super().get_queryset(request).defer("foreign", "holds", "examination", "protected")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # a machine enrols itself

    def change(self, request: HttpRequest, obj: Endpoint, values: dict[str, Any]) -> None:
        if "pool" in values:
            endpoint_manager.assign(endpoint=obj, pool=values["pool"], actor=actor(request))
        if "may_set_targets" in values:
            endpoint_manager.change_rights(
                endpoint=obj, may_set_targets=values["may_set_targets"], actor=actor(request)
            )

    def delete(self, request: HttpRequest, obj: Endpoint) -> None:
        endpoint_manager.delete_endpoint(endpoint=obj, actor=actor(request))


@admin.register(EndpointState)
class EndpointStateAdmin(ReadOnlyAdmin[EndpointState]):
    list_display = ("endpoint", "seq", "state", "cause", "at")
    list_filter = ("cause", "at")
    list_select_related = ("endpoint", "state")
    search_fields = ("endpoint__name", "state__digest")
    ordering = ("-pk",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[EndpointState]:
        return super().get_queryset(request).defer("state__packages")


@admin.register(EndpointRepository)
class EndpointRepositoryAdmin(ReadOnlyAdmin[EndpointRepository]):
    list_display = ("endpoint", "position", "name", "content")
    list_filter = ("name",)
    list_select_related = ("endpoint", "content")
    search_fields = ("endpoint__name", "name")
    ordering = ("endpoint__name", "position")

    def get_queryset(self, request: HttpRequest) -> QuerySet[EndpointRepository]:
        return super().get_queryset(request).defer("content__packages")


@admin.register(OfflinePeriod)
class OfflinePeriodAdmin(ReadOnlyAdmin[OfflinePeriod]):
    list_display = ("endpoint", "since", "until")
    list_filter = ("until",)
    list_select_related = ("endpoint",)
    search_fields = ("endpoint__name",)
    ordering = ("-until", "-pk")
