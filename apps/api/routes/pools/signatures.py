"""Signed revisions: the exact bytes to sign, and the signature that is uploaded (apps.fleet.signed_revisions).

The server verifies no signature: it knows no keys.
"""

from typing import Annotated

from django.http import HttpResponse
from ninja import Query, Router, Status
from pydantic import BeforeValidator

from apps.api.access.auth import OPERATOR, VIEWER
from apps.api.description.openapi import refuses, uploads
from apps.api.requests.body import read_text
from apps.api.requests.fields import Name, PathNumber, decimal
from apps.api.requests.lookups import pool_named
from apps.api.requests.principal import ApiRequest
from apps.api.schemas.pools.signatures import SignatureOut, signature_out
from apps.fleet import limits, signed_revisions
from apps.fleet.exceptions import NotFound
from apps.fleet.models import RevisionSignature

router = Router()
Days = Annotated[
    int,
    BeforeValidator(decimal),
    Query(
        limits.SIGNATURE_DAYS_DEFAULT, ge=1, le=limits.SIGNATURE_DAYS, description="For how many days it will be good."
    ),
]
_TEXT = {"description": "The text.", "content": {"text/plain": {"schema": {"type": "string"}}}}


@router.get(
    "/pools/{name}/targets/{number}/document",
    auth=VIEWER,
    summary="Get the text of a target revision to sign",
    openapi_extra=refuses("conflict", "state_too_large", "comparison_too_long", responses={200: _TEXT}),
)
def get_document(
    request: ApiRequest, name: Name, number: PathNumber, days: Days = limits.SIGNATURE_DAYS_DEFAULT
) -> HttpResponse:
    """Sign exactly these bytes. Each request gives another text: its times are those of the request."""
    text = signed_revisions.document(pool=pool_named(name), number=number, days=days)
    return HttpResponse(text, content_type="text/plain; charset=us-ascii")


@router.get(
    "/pools/{name}/targets/{number}/signature",
    response=SignatureOut,
    auth=VIEWER,
    summary="Get the signature of a target revision",
)
def get_signature(request: ApiRequest, name: Name, number: PathNumber) -> SignatureOut:
    return signature_out(_signature(name, number))


def _signature(name: str, number: int) -> RevisionSignature:
    rows = RevisionSignature.objects.select_related("revision__pool")
    signed = rows.filter(revision__pool=pool_named(name), revision__number=number).first()
    if signed is None:
        raise NotFound("There is no such revision, or it isn't signed.")
    return signed


@router.put(
    "/pools/{name}/targets/{number}/signature",
    response=SignatureOut,
    auth=OPERATOR,
    summary="Upload the signature of a target revision",
    openapi_extra=refuses(
        "invalid_encoding",
        "conflict",
        "state_too_large",
        **uploads("The signed text, and after it the armored detached signature.", signed_revisions.LIMIT),
    ),
)
def put_signature(request: ApiRequest, name: Name, number: PathNumber) -> SignatureOut:
    """It replaces an earlier one of the revision. `conflict`: the text isn't what the revision says now."""
    pool = pool_named(name)
    content = read_text(request, limit=signed_revisions.LIMIT, setting="the format of signed revisions")
    text, signature = signed_revisions.separated(content)
    signed_revisions.sign(pool=pool, number=number, document=text, signature=signature, actor=request.auth.actor)
    return signature_out(_signature(name, number))


@router.delete(
    "/pools/{name}/targets/{number}/signature",
    response={204: None},
    auth=OPERATOR,
    summary="Remove the signature of a target revision",
)
def delete_signature(request: ApiRequest, name: Name, number: PathNumber) -> Status[None]:
    """Machines that trust keys then don't follow the revision. A repeat changes nothing."""
    signed_revisions.remove(pool=pool_named(name), number=number, actor=request.auth.actor)
    return Status(204, None)
