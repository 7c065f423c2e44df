"""The fleet as a whole: what the first page of the dashboard says. apps.fleet.attention decides the answer."""

from ninja import Router

from apps.api.access.auth import VIEWER
from apps.api.requests.principal import ApiRequest
from apps.api.schemas.fleet import FleetOut, fleet_out

router = Router()


@router.get("/fleet", response=FleetOut, auth=VIEWER, summary="Is anything wrong, and where")
def get_fleet(request: ApiRequest) -> FleetOut:
    """Everything that needs attention, and one line per pool. The same thing in more than three pools is one item."""
    return fleet_out()
