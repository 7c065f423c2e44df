"""Which endpoints the list's address asks for, for the list itself and for work on all that it found."""

from django.db.models import QuerySet

from apps.dashboard.list_query import ListQuery
from apps.dashboard.look import STATUSES
from apps.dashboard.reading import statuses_of
from apps.fleet.filters import LAST_RESULTS, SORTS, EndpointFilter
from apps.fleet.models import Endpoint

EITHER = {"true": True, "false": False}


def asked(query: ListQuery) -> tuple[EndpointFilter, str]:
    """The filter, and the name in look.STATUSES that they should have; empty for any."""
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
        sort=query.choice("sort", SORTS, "name"),
    )
    return chosen, query.choice("status", STATUSES)


def found_by(query: ListQuery, *fields: str) -> list[Endpoint]:
    """All that it finds, in the order of the list, with only these fields. Raises ComparisonTooLong."""
    chosen, status = asked(query)
    rows: QuerySet[Endpoint] = chosen.rows().order_by(*chosen.order())
    endpoints = list(rows.only(*fields))
    if not status:
        return endpoints
    known = statuses_of(rows.select_related(None))
    return [one for one in endpoints if known.get(one.pk, (None, ""))[1] == status]
