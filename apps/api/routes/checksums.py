"""Package versions that the fleet has more than one file for. A chore finds them (apps.fleet.checksums)."""

from ninja import Router

from apps.api.access.auth import VIEWER
from apps.api.requests.pagination import CursorText, Limit, Page, paginate
from apps.api.requests.principal import ApiRequest
from apps.api.schemas.pools.alarms import ChecksumConflictOut
from apps.fleet.models import ChecksumConflict

router = Router()


@router.get(
    "/checksum-conflicts", response=Page[ChecksumConflictOut], auth=VIEWER, summary="List versions with several files"
)
def list_checksum_conflicts(
    request: ApiRequest, limit: Limit = 50, cursor: CursorText = None
) -> Page[ChecksumConflictOut]:
    """By name. Compared once a minute: what endpoints see in their repositories, and what current targets hold."""
    rows = ChecksumConflict.objects.all()
    return paginate(rows, order=("name", "version", "arch"), limit=limit, cursor=cursor, render=_out)


def _out(conflict: ChecksumConflict) -> ChecksumConflictOut:
    return ChecksumConflictOut.model_validate(conflict, from_attributes=True)
