"""Who is asking, and whether they may: API tokens, endpoint tokens and dashboard sessions.

A route names the ways in that it has: `auth=VIEWER`, `OPERATOR`, `ENDPOINT`, or a sum of them. It must not know routes.
"""

from dataclasses import dataclass
from typing import Literal

from django.http import HttpRequest
from ninja.security.base import AuthBase
from ninja.utils import check_csrf

from apps.api.problems import Refused
from apps.fleet import endpoint_manager, tokens
from apps.fleet.models import Endpoint

Role = Literal["viewer", "operator", "endpoint"]
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
MAX_TOKEN_LENGTH = 200
FOR_OPERATORS = "Only operators may read this: a token with the role operator, or an account with staff status."


@dataclass(frozen=True, kw_only=True)
class Principal:
    """Who is asking. `actor` is how the audit names them; `endpoint` is set for an endpoint's token only."""

    actor: str
    role: Role
    way: Literal["api_token", "endpoint_token", "session"]
    endpoint: Endpoint | None = None


class ApiRequest(HttpRequest):
    """A request that was let in: Ninja sets `auth`."""

    auth: Principal


def principal_of(request: HttpRequest) -> Principal | None:
    """Whoever the request's token or session belongs to; asked of the database once per request."""
    if not hasattr(request, "_principal"):
        request._principal = _identify(request)  # type: ignore[attr-defined]
    principal: Principal | None = request._principal  # type: ignore[attr-defined]
    return principal


def _identify(request: HttpRequest) -> Principal | None:
    """A wrong token is nobody, also with a session beside it."""
    header = request.headers.get("Authorization")
    if header is None:
        return _by_session(request)
    scheme, _, token = header.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token.isascii() or len(token) > MAX_TOKEN_LENGTH:
        return None
    return _by_endpoint_token(token) if token.startswith("pse_") else _by_api_token(token)


def _by_endpoint_token(token: str) -> Principal | None:
    endpoint = endpoint_manager.authenticate(token=token)
    if endpoint is None:
        return None
    return Principal(actor=f"endpoint:{endpoint.name}", role="endpoint", way="endpoint_token", endpoint=endpoint)


def _by_api_token(token: str) -> Principal | None:
    found = tokens.authenticate_api_token(token=token)
    if found is None:
        return None
    role: Role = "operator" if found.role == "operator" else "viewer"
    return Principal(actor=f"token:{found.name}", role=role, way="api_token")


def _by_session(request: HttpRequest) -> Principal | None:
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return None
    role: Role = "operator" if user.is_staff else "viewer"
    return Principal(actor=f"user:{user.get_username()}", role=role, way="session")


class _Way(AuthBase):
    """One way in. Falsy for everybody else, so that Ninja asks the route's next one."""

    way = ""
    reads_only = ""

    def __init__(self, *roles: Role) -> None:
        super().__init__()
        self.roles = roles

    def __call__(self, request: HttpRequest) -> Principal | None:
        """Raises Refused for a viewer where this is the way of operators: it is the only way that a viewer has."""
        principal = principal_of(request)
        if principal is None or principal.way != self.way:
            return None
        if principal.role == "viewer" and "viewer" not in self.roles:
            raise Refused("forbidden", FOR_OPERATORS if request.method in SAFE_METHODS else self.reads_only)
        return principal if principal.role in self.roles else None


class ApiToken(_Way):
    openapi_type = "http"
    openapi_scheme = "bearer"
    openapi_description = "An API token of a person or a program (`pst_…`), with the role `viewer` or `operator`."
    way = "api_token"
    reads_only = "This token may only read. Use one with the role operator."


class EndpointToken(_Way):
    openapi_type = "http"
    openapi_scheme = "bearer"
    openapi_description = "The token of one endpoint (`pse_…`), which its enrolment answered."
    way = "endpoint_token"


class Session(_Way):
    openapi_type = "apiKey"
    openapi_in = "cookie"
    openapi_name = "sessionid"
    openapi_description = "The dashboard's session: staff may change (with X-CSRFToken), everybody else may read."
    way = "session"
    reads_only = "This account may only read. Use one with staff status."

    def __call__(self, request: HttpRequest) -> Principal | None:
        principal = super().__call__(request)
        if principal and request.method not in SAFE_METHODS and check_csrf(request) is not None:
            raise Refused("csrf_failed")
        return principal


VIEWER: list[_Way] = [ApiToken("viewer", "operator"), Session("viewer", "operator")]
OPERATOR: list[_Way] = [ApiToken("operator"), Session("operator")]
ENDPOINT: list[_Way] = [EndpointToken("endpoint")]


def endpoint_of(request: ApiRequest) -> Endpoint:
    """The endpoint whose token let the request in (routes with `auth=ENDPOINT`)."""
    endpoint = request.auth.endpoint
    if endpoint is None:  # a route that forgot to ask for an endpoint's token
        raise Refused("forbidden")
    return endpoint
