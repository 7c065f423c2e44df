"""The fleet as a whole: what the first page of the dashboard says. The answer is apps.fleet.attention's."""

from ninja import Router

from apps.api.auth import VIEWER, ApiRequest
from apps.api.schemas.fleet import FleetOut, fleet_out

router = Router()


@router.get("/fleet", response=FleetOut, auth=VIEWER, summary="Is anything wrong, and where")
def get_fleet(request: ApiRequest) -> FleetOut:
    """All that needs attention, and one line for each pool. The same in more than three pools is one item."""
    return fleet_out()
