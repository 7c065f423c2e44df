"""Who sent a request, noted on the request itself. It must not know how senders prove who they are."""

from dataclasses import dataclass
from typing import Literal

from django.http import HttpRequest

from apps.fleet.models import Endpoint

PrincipalRole = Literal["viewer", "operator", "endpoint"]
# Set by `note`. Missing: nobody has asked yet. None: somebody has asked, and the sender is nobody.
_ATTRIBUTE = "_principal"


@dataclass(frozen=True, kw_only=True)
class Principal:
    """Who is asking. `actor` is the name in the audit; only an endpoint's token sets `endpoint`."""

    actor: str
    role: PrincipalRole
    way: Literal["api_token", "endpoint_token", "session"]
    endpoint: Endpoint | None = None


class ApiRequest(HttpRequest):
    """A request that was let in: Ninja sets `auth`."""

    auth: Principal


def note(request: HttpRequest, principal: Principal | None) -> None:
    """Remember who sent the request for the rest of it; None means nobody."""
    setattr(request, _ATTRIBUTE, principal)


def is_noted(request: HttpRequest) -> bool:
    """Whether `note` was called for this request, even with None."""
    return hasattr(request, _ATTRIBUTE)


def noted(request: HttpRequest) -> Principal | None:
    """Who sent the request; None for nobody, and if `note` wasn't called."""
    principal: Principal | None = getattr(request, _ATTRIBUTE, None)
    return principal
