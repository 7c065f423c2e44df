"""Signatures of target revisions in the API."""

from pydantic import BaseModel, Field

from apps.api.requests.fields import Time
from apps.fleet.models import RevisionSignature


class SignatureOut(BaseModel):
    """A signature as the server keeps it. Whether it counts is for each machine to say."""

    pool: str
    number: int
    issuer: str = Field(description="The key that the signature names; the server doesn't verify that. May be empty.")
    signed: Time = Field(description="The time in the signed text.")
    until: Time | None = Field(description="Until when it is good, by the signed text.")
    author: str = Field(description="Who uploaded it.")
    created: Time = Field(description="When it was uploaded.")


def signature_out(signed: RevisionSignature) -> SignatureOut:
    """`signed` is read with its revision and pool."""
    revision = signed.revision
    return SignatureOut(
        pool=revision.pool.name,
        number=revision.number,
        issuer=signed.issuer,
        signed=signed.signed,
        until=revision.signed_until,
        author=signed.author,
        created=signed.created,
    )
