"""States and repositories: agents upload them when a check-in asks for them, and people read states.

The server computes the digest itself.
"""

from ninja import Router, Status

from apps.api.access.auth import ENDPOINT, VIEWER, endpoint_of
from apps.api.description.openapi import refuses, uploads
from apps.api.requests.body import REPOSITORY_LIMIT, STATE_LIMIT, read_text
from apps.api.requests.fields import Digest
from apps.api.requests.lookups import state_with
from apps.api.requests.principal import ApiRequest
from apps.api.schemas.agent import UploadOut
from apps.api.schemas.operations import package_out
from apps.api.schemas.states import StateOut
from apps.fleet import endpoint_manager, states, upload_quota

router = Router()


@router.get(
    "/states/{digest}",
    response=StateOut,
    auth=VIEWER,
    summary="Get a state with its packages",
    openapi_extra=refuses("state_too_large"),
)
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
        "state_too_large",
        "upload_quota_exceeded",
        **uploads("The canonical state text: `pkgname version arch reason` lines.", STATE_LIMIT),
    ),
)
def put_state(request: ApiRequest, digest: Digest) -> Status[UploadOut]:
    """201 when it is new, 200 when it was known."""
    with upload_quota.counted(endpoint=endpoint_of(request), digest=digest) as upload:
        text = read_text(request, limit=STATE_LIMIT, setting="STATE_MAX_PACKAGES")
        upload.size = len(text)
        state, upload.kept = endpoint_manager.store_state(digest=digest, text=text)
    return Status(201 if upload.kept else 200, UploadOut(digest=state.digest, package_count=state.package_count))


@router.put(
    "/repositories/{digest}",
    response={200: UploadOut, 201: UploadOut},
    auth=ENDPOINT,
    summary="Upload a repository's content",
    openapi_extra=refuses(
        "invalid_encoding",
        "digest_mismatch",
        "invalid_repository",
        "repository_too_large",
        "upload_quota_exceeded",
        **uploads(
            "The canonical repository text: `pkgname version arch filename sha256 size` lines.", REPOSITORY_LIMIT
        ),
    ),
)
def put_repository(request: ApiRequest, digest: Digest) -> Status[UploadOut]:
    """201 when it is new, 200 when it was known."""
    with upload_quota.counted(endpoint=endpoint_of(request), digest=digest) as upload:
        text = read_text(request, limit=REPOSITORY_LIMIT, setting="REPOSITORY_MAX_PACKAGES")
        upload.size = len(text)
        content, upload.kept = endpoint_manager.store_repository(digest=digest, text=text)
    return Status(201 if upload.kept else 200, UploadOut(digest=content.digest, package_count=content.package_count))
