"""What is derived of packages, only to be looked at. `manage.py rebuild_package_index` rebuilds the index."""

from django.contrib import admin

from apps.fleet.models import IndexSegment, Posting, StatusCase
from apps.lifecycle.readonly_admin import ReadOnlyAdmin


@admin.register(IndexSegment)
class IndexSegmentAdmin(ReadOnlyAdmin[IndexSegment]):
    list_display = ("id", "states", "created")
    search_fields = ("id",)
    ordering = ("-pk",)


@admin.register(Posting)
class PostingAdmin(ReadOnlyAdmin[Posting]):
    list_display = ("id", "version", "segment")
    search_fields = ("version",)
    ordering = ("pk",)


@admin.register(StatusCase)
class StatusCaseAdmin(ReadOnlyAdmin[StatusCase]):
    list_display = ("key", "state", "revision", "arch", "verdict", "created")
    list_filter = ("verdict",)
    search_fields = ("key", "state")
    ordering = ("-created", "key")
