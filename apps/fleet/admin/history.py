"""Operations, audit events, states and what they are made of: all of it only to be looked at."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.fleet.models import (
    AuditEvent,
    ChecksumConflict,
    Operation,
    PackageVersion,
    RepositoryContent,
    State,
    TargetFiles,
    Upload,
)
from apps.lifecycle.readonly_admin import ReadOnlyAdmin


@admin.register(Operation)
class OperationAdmin(ReadOnlyAdmin[Operation]):
    list_display = ("id", "endpoint", "kind", "status", "attempt", "retries", "author", "created", "finished")
    list_filter = ("status", "kind", "created")
    list_select_related = ("endpoint",)
    search_fields = ("id", "endpoint__name", "author")
    ordering = ("-created", "pk")
    # The lease is a secret between the server and one agent.
    exclude = ("lease_token", "result_token")


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin[AuditEvent]):
    list_display = ("at", "actor", "verb", "object")
    list_filter = ("verb", "at")
    search_fields = ("actor", "object", "verb")
    ordering = ("-at", "-pk")


class PackageSetAdmin(ReadOnlyAdmin[Any]):
    """A content-addressed set: its packages are numbers or compressed text, of no use to a reader."""

    exclude = ("packages",)
    search_fields = ("digest",)
    ordering = ("-created", "pk")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("packages")


@admin.register(State)
class StateAdmin(PackageSetAdmin):
    list_display = ("digest", "arch", "package_count", "created")
    list_filter = ("arch",)


@admin.register(RepositoryContent)
class RepositoryContentAdmin(PackageSetAdmin):
    list_display = ("digest", "package_count", "created")


@admin.register(TargetFiles)
class TargetFilesAdmin(PackageSetAdmin):
    list_display = ("digest", "file_count", "created")
    exclude = ("files",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return ReadOnlyAdmin.get_queryset(self, request).defer("files")


@admin.register(ChecksumConflict)
class ChecksumConflictAdmin(ReadOnlyAdmin[ChecksumConflict]):
    list_display = ("name", "version", "arch", "since")
    search_fields = ("name__startswith",)
    ordering = ("name", "version", "arch")


@admin.register(PackageVersion)
class PackageVersionAdmin(ReadOnlyAdmin[PackageVersion]):
    list_display = ("name", "version", "arch")
    list_filter = ("arch",)
    search_fields = ("name__startswith",)
    ordering = ("name", "pk")


@admin.register(Upload)
class UploadAdmin(ReadOnlyAdmin[Upload]):
    list_display = ("at", "endpoint", "size", "kept", "digest")
    list_filter = ("kept", "at")
    list_select_related = ("endpoint",)
    search_fields = ("endpoint__name", "digest")
    ordering = ("-at", "-pk")
