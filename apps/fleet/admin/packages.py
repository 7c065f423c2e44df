"""The index of packages in the admin, only to be looked at. `manage.py rebuild_package_index` rebuilds it."""

from django.contrib import admin

from apps.fleet.models import IndexSegment, Posting
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
