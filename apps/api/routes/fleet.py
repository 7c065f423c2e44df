"""The fleet as a whole: what the first page of the dashboard says. The answer is apps.fleet.attention's."""

from ninja import Router

from apps.api.auth import VIEWER, ApiRequest
from apps.api.schemas.fleet import CountsOut, FleetOut, item_out, pool_row_out
from apps.fleet import attention
from apps.fleet.attention import Survey

router = Router()


@router.get("/fleet", response=FleetOut, auth=VIEWER, summary="Is anything wrong, and where")
def get_fleet(request: ApiRequest) -> FleetOut:
    """All that needs attention, and one line for each pool. The same in more than three pools is one item."""
    survey = Survey()
    items = attention.needs_attention(None, survey=survey)
    return FleetOut(
        status="attention" if items else "ok",
        counts=CountsOut.model_validate(survey.counts),
        attention=[item_out(item) for item in items],
        pools=[pool_row_out(row) for row in attention.pools_overview(survey=survey)],
    )
