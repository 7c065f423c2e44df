"""Before a change to a pool: what a target would do to its machines, and what patterns match. It only reads."""

from typing import Annotated

from ninja import Query, Router

from apps.api.access.auth import VIEWER
from apps.api.description.openapi import COMPARES, refuses
from apps.api.requests.fields import Name, Pattern
from apps.api.requests.lookups import pool_named
from apps.api.requests.pagination import CursorText, Limit, Page, page_of_names
from apps.api.requests.principal import ApiRequest
from apps.api.requests.problems import FieldError, RequestRefused
from apps.api.schemas.pools.previews import (
    ExclusionsOut,
    PreviewedOut,
    PreviewOut,
    exclusion_out,
    preview_out,
    previewed_out,
)
from apps.fleet import exclusions, forecast, proposed
from apps.fleet.exceptions import Invalid
from apps.fleet.forecast import Effect
from apps.fleet.models import Pool
from apps.fleet.proposed import Proposed

router = Router()
WHAT = f"What would be the target: {proposed.FORMS}. Empty: the current target."
Of = Annotated[str, Query("", max_length=200, description=WHAT)]
REFUSES = refuses("no_target", "state_unknown", "conflict", *COMPARES)


def _proposed(pool: Pool, of: str) -> Proposed:
    try:
        return proposed.find(pool, of)
    except Invalid as error:
        raise RequestRefused("invalid_request", errors=[FieldError(loc=["query", "of"], message=str(error))]) from None


@router.get(
    "/pools/{name}/preview",
    response=PreviewOut,
    auth=VIEWER,
    summary="What a target would do to a pool's machines",
    openapi_extra=REFUSES,
)
def preview(request: ApiRequest, name: Name, of: Of = "") -> PreviewOut:
    """How many would change, go back, lose packages or refuse, are offline or can't be synced. Changes nothing."""
    pool = pool_named(name)
    what = _proposed(pool, of)
    return preview_out(pool, what, forecast.of(pool, what))


@router.get(
    "/pools/{name}/preview/endpoints",
    response=Page[PreviewedOut],
    auth=VIEWER,
    summary="The machines of one effect of a target",
    openapi_extra=REFUSES,
)
def list_previewed(
    request: ApiRequest,
    name: Name,
    effect: Annotated[Effect, Query(...)],
    of: Of = "",
    limit: Limit = 50,
    cursor: CursorText = None,
) -> Page[PreviewedOut]:
    """By name, with what a sync would change on each."""
    pool = pool_named(name)
    found = forecast.of(pool, _proposed(pool, of))

    def read(after: str) -> list[PreviewedOut]:
        return [previewed_out(found, one) for one in found.machines[effect] if one > after]

    items, following = page_of_names(read, "preview", limit=limit, cursor=cursor)
    return Page(items=list(items), next=following)


@router.get(
    "/pools/{name}/exclusions",
    response=ExclusionsOut,
    auth=VIEWER,
    summary="What the excluded packages of a pool match",
    openapi_extra=refuses("invalid_pattern", *COMPARES),
)
def list_exclusions(
    request: ApiRequest,
    name: Name,
    pattern: Annotated[Pattern | None, Query(None, description="Try this one instead of the pool's.")] = None,
) -> ExclusionsOut:
    """In the current target and on the pool's machines."""
    pool = pool_named(name)
    patterns = pool.excluded_packages if pattern is None else exclusions.checked([pattern])
    return ExclusionsOut(items=[exclusion_out(match) for match in exclusions.matches(pool, patterns)])
