"""Pools (changed through pool_manager) and their target revisions (append-only)."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest

from apps.fleet import pool_manager
from apps.fleet.models import Pool, RevisionSignature, TargetRevision
from apps.lifecycle.readonly_admin import ReadOnlyAdmin

from .through_managers import ThroughManagers, actor


@admin.register(Pool)
class PoolAdmin(ThroughManagers[Pool]):
    list_display = ("name", "target", "endpoint_count", "auto_sync", "conflict_resolution", "created")
    list_filter = ("auto_sync", "conflict_resolution")
    list_select_related = ("target__pool",)
    search_fields = ("name", "description")
    ordering = ("name",)
    readonly_fields = ("target", "created")
    fields = (
        "name",
        "description",
        "auto_sync",
        "conflict_resolution",
        "excluded_packages",
        "endpoint_targets_need_approval",
        "retention",
        "target",
        "created",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Pool]:
        return super().get_queryset(request).annotate(_endpoints=Count("endpoints"))

    @admin.display(description="endpoints", ordering="_endpoints")
    def endpoint_count(self, pool: Pool) -> int:
        return int(pool._endpoints)  # type: ignore[attr-defined]

    def create(self, request: HttpRequest, values: dict[str, Any]) -> Pool:
        return pool_manager.create_pool(actor=actor(request), **values)

    def change(self, request: HttpRequest, obj: Pool, values: dict[str, Any]) -> None:
        if values:
            pool_manager.change_pool(pool=obj, actor=actor(request), **values)

    def delete(self, request: HttpRequest, obj: Pool) -> None:
        pool_manager.delete_pool(pool=obj, actor=actor(request))


@admin.register(TargetRevision)
class TargetRevisionAdmin(ReadOnlyAdmin[TargetRevision]):
    list_display = ("pool", "number", "state", "source_endpoint", "author", "comment", "created")
    list_filter = ("created",)
    list_select_related = ("pool", "source_endpoint", "state")
    search_fields = ("pool__name", "author", "comment", "state__digest")
    ordering = ("-created", "-pk")

    def get_queryset(self, request: HttpRequest) -> QuerySet[TargetRevision]:
        return super().get_queryset(request).defer("state__packages", "repositories")


@admin.register(RevisionSignature)
class RevisionSignatureAdmin(ReadOnlyAdmin[RevisionSignature]):
    list_display = ("revision", "issuer", "signed", "author", "created")
    list_select_related = ("revision__pool",)
    search_fields = ("revision__pool__name", "issuer", "author")
    ordering = ("-created", "-pk")
    exclude = ("document", "signature")

    def get_queryset(self, request: HttpRequest) -> QuerySet[RevisionSignature]:
        return super().get_queryset(request).defer("document", "signature")
