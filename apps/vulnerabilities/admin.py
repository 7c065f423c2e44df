"""The list of known vulnerabilities, and what it says about states, only to be looked at."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.lifecycle.readonly_admin import ReadOnlyAdmin

from .models import Advisory, AdvisoryPackage, StateVulnerabilities, TrackerList


@admin.register(TrackerList)
class TrackerListAdmin(ReadOnlyAdmin[TrackerList]):
    list_display = ("source", "generation", "advisory_count", "as_of", "succeeded", "failed", "failure_code")


@admin.register(Advisory)
class AdvisoryAdmin(ReadOnlyAdmin[Advisory]):
    list_display = ("name", "severity", "status", "affected", "fixed")
    list_filter = ("severity", "status")
    search_fields = ("name",)
    ordering = ("-name",)


@admin.register(AdvisoryPackage)
class AdvisoryPackageAdmin(ReadOnlyAdmin[AdvisoryPackage]):
    list_display = ("package", "advisory")
    list_select_related = ("advisory",)
    search_fields = ("package", "advisory__name")
    ordering = ("package", "advisory__name")


@admin.register(StateVulnerabilities)
class StateVulnerabilitiesAdmin(ReadOnlyAdmin[StateVulnerabilities]):
    list_display = ("state", "worst", "critical", "high", "medium", "low", "unknown", "generation")
    list_filter = ("worst",)
    search_fields = ("state__digest",)
    ordering = ("-worst", "state_id")

    def get_queryset(self, request: HttpRequest) -> QuerySet[StateVulnerabilities]:
        return super().get_queryset(request).select_related("state").defer("state__packages", "versions")
