"""A state on the wire."""

from pydantic import BaseModel

from apps.api.requests.fields import Time
from apps.api.schemas.operations import PackageOut


class StateOut(BaseModel):
    """An immutable set of installed packages, named by its digest."""

    digest: str
    arch: str
    package_count: int
    created: Time
    packages: list[PackageOut]
