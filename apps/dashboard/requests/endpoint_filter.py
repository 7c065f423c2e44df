"""The filter of the list of endpoints, for the list itself and for actions on everything that it finds."""

from django.db.models import QuerySet

from apps.dashboard.presentation.endpoint_rows import with_badge
from apps.dashboard.requests.list_query import ListQuery
from apps.fleet.after_sync import LEFT_TO_DO
from apps.fleet.filters import LAST_RESULTS, SORTS, EndpointFilter
from apps.fleet.models import Endpoint
from apps.fleet.status_badges import ENDPOINT_BADGES

EITHER = {"true": True, "false": False}


def endpoint_filter(query: ListQuery) -> tuple[EndpointFilter, str]:
    """The filter, and the name in ENDPOINT_BADGES that its endpoints should have; an empty name for any."""
    chosen = EndpointFilter(
        pool=query.pool(),
        name=query.text("name"),
        package=query.text("package"),
        agent_version=query.text("agent_version"),
        seen_after=query.moment("seen_after"),
        seen_before=query.moment("seen_before"),
        last_result=query.choice("last_result", LAST_RESULTS),
        files_differ=EITHER.get(query.choice("files_differ", EITHER)),
        resting=EITHER.get(query.choice("resting", EITHER)),
        after_sync=query.choice("after_sync", LEFT_TO_DO),
        token_shared=EITHER.get(query.choice("token_shared", EITHER)),
        awaits_approval=EITHER.get(query.choice("awaits_approval", EITHER)),
        sort=query.choice("sort", SORTS, "name"),
    )
    return chosen, query.choice("status", ENDPOINT_BADGES)


def endpoints_found(query: ListQuery, *fields: str) -> list[Endpoint]:
    """All endpoints that the filter finds, in the order of the list, with only these fields.

    Raises ComparisonTooLong.
    """
    chosen, badge = endpoint_filter(query)
    rows: QuerySet[Endpoint] = chosen.rows().order_by(*chosen.order())
    return list((with_badge(rows, badge) if badge else rows).only(*fields))
