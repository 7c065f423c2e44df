"""States and repositories: uploaded by agents when a check-in wanted them, states read by people.

The server computes the digest itself.
"""

from ninja import Router, Status
from pydantic import BaseModel

from apps.api.auth import ENDPOINT, VIEWER, ApiRequest
from apps.api.body import REPOSITORY_LIMIT, STATE_LIMIT, read_text
from apps.api.fields import Digest, Time
from apps.api.lookups import state_with
from apps.api.openapi import refuses, uploads
from apps.api.schemas.agent import UploadOut
from apps.api.schemas.operations import PackageOut, package_out
from apps.fleet import endpoint_manager, states

router = Router()


class StateOut(BaseModel):
    """An immutable set of installed packages, named by its digest."""

    digest: str
    arch: str
    package_count: int
    created: Time
    packages: list[PackageOut]


@router.get("/states/{digest}", response=StateOut, auth=VIEWER, summary="Get a state with its packages")
def get_state(request: ApiRequest, digest: Digest) -> StateOut:
    state = state_with(digest)
    return StateOut(
        digest=state.digest,
        arch=state.arch,
        package_count=state.package_count,
        created=state.created,
        packages=[package_out(package) for package in states.load(state)],
    )


@router.put(
    "/states/{digest}",
    response={200: UploadOut, 201: UploadOut},
    auth=ENDPOINT,
    summary="Upload a state",
    openapi_extra=refuses(
        "invalid_encoding",
        "digest_mismatch",
        "invalid_state",
        **uploads("The canonical state text: `pkgname version arch reason` lines.", STATE_LIMIT),
    ),
)
def put_state(request: ApiRequest, digest: Digest) -> Status[UploadOut]:
    """201 when it is new, 200 when it was known."""
    state, new = endpoint_manager.store_state(digest=digest, text=read_text(request, limit=STATE_LIMIT))
    return Status(201 if new else 200, UploadOut(digest=state.digest, package_count=state.package_count))


@router.put(
    "/repositories/{digest}",
    response={200: UploadOut, 201: UploadOut},
    auth=ENDPOINT,
    summary="Upload a repository's content",
    openapi_extra=refuses(
        "invalid_encoding",
        "digest_mismatch",
        "invalid_repository",
        **uploads(
            "The canonical repository text: `pkgname version arch filename sha256 size` lines.", REPOSITORY_LIMIT
        ),
    ),
)
def put_repository(request: ApiRequest, digest: Digest) -> Status[UploadOut]:
    """201 when it is new, 200 when it was known."""
    content, new = endpoint_manager.store_repository(digest=digest, text=read_text(request, limit=REPOSITORY_LIMIT))
    return Status(201 if new else 200, UploadOut(digest=content.digest, package_count=content.package_count))
