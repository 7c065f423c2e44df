"""What the endpoints of a pool could install, and where they disagree. apps.fleet.analysis computes it."""

from ninja import Router

from apps.api.access.auth import VIEWER
from apps.api.description.openapi import refuses
from apps.api.requests.fields import Name
from apps.api.requests.lookups import pool_named
from apps.api.requests.principal import ApiRequest
from apps.api.schemas.analysis import AnalysisOut
from apps.fleet import analysis

router = Router()


@router.get(
    "/pools/{name}/analysis",
    response=AnalysisOut,
    auth=VIEWER,
    summary="Compare the repositories of a pool's endpoints",
    openapi_extra=refuses("feature_disabled"),
)
def analyse_pool(request: ApiRequest, name: Name) -> AnalysisOut:
    """What all of them offer, where their versions differ, and what each has of the target."""
    return AnalysisOut.model_validate(analysis.analyse(pool=pool_named(name)))
