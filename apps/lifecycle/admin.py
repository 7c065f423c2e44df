"""The instance registry in the admin."""

from django.contrib import admin

from .models import Instance
from .readonly_admin import ReadOnlyAdmin


@admin.register(Instance)
class InstanceAdmin(ReadOnlyAdmin[Instance]):
    list_display = ("name", "phase", "version", "workers", "started", "heartbeat")
    list_filter = ("phase", "version")
    search_fields = ("name", "id")
    ordering = ("-heartbeat",)
