"""The chores of the fleet, each done by one instance of all at a time. It must not know how loops run."""

from apps.lifecycle.work.chores import register_chore

from . import checksums, fleet_statuses, leases, package_index, retention, upload_quota

LEASES_SECONDS = 15
CHECKSUMS_SECONDS = 60
RETENTION_SECONDS = 600
PACKAGE_INDEX_SECONDS = 15
STATUSES_SECONDS = 3


def register() -> None:
    """Hand the chores to the lifecycle; nothing starts before the server does."""
    register_chore("expire_leases", LEASES_SECONDS, leases.expire_leases)
    register_chore("checksums", CHECKSUMS_SECONDS, checksums.refresh)
    register_chore("retention", RETENTION_SECONDS, retention.clean)
    register_chore("uploads", RETENTION_SECONDS, upload_quota.forget)
    register_chore(package_index.CHORE, PACKAGE_INDEX_SECONDS, package_index.refresh)
    register_chore("statuses", STATUSES_SECONDS, fleet_statuses.refresh)
    register_chore("statuses_retention", RETENTION_SECONDS, fleet_statuses.trim)
