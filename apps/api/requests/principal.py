"""Who sent a request, noted on the request itself. It must not know how senders prove who they are."""

from dataclasses import dataclass
from typing import Literal

from django.contrib.auth.models import User
from django.http import HttpRequest

from apps.fleet.models import ApiToken, Endpoint, Role

# Set by `note`. Missing: nobody has asked yet. None: somebody has asked, and the sender is nobody.
_ATTRIBUTE = "_principal"


@dataclass(frozen=True, kw_only=True)
class Principal:
    """Who is asking. `actor` is the name in the audit.

    A person, or an API token, has `role`, what they may do now (None: nothing), and `owner`, the person or the owner of
    the token if there is one. `token` is set by an API token, `endpoint` by an endpoint's.
    """

    actor: str
    way: Literal["api_token", "endpoint_token", "session"]
    role: Role | None = None
    owner: User | None = None
    token: ApiToken | None = None
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
