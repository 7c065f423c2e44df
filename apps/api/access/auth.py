"""Who is asking, and whether they may: API tokens, endpoint tokens and dashboard sessions.

A route names its ways in: `auth=VIEWER`, `OPERATOR`, `ENDPOINT`, or a sum of them. It must not know about routes.
"""

from django.conf import settings
from django.http import HttpRequest
from ninja.security.base import AuthBase
from ninja.utils import check_csrf

from apps.api.requests import principal as principals
from apps.api.requests.principal import ApiRequest, Principal, PrincipalRole
from apps.api.requests.problems import RequestRefused
from apps.fleet import approval, endpoint_manager, tokens
from apps.fleet.models import Endpoint
from apps.lifecycle.wsgi import bearer_token

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
FOR_OPERATORS = "Only operators may read this: a token with the role operator, or an account with staff status."


def principal_of(request: HttpRequest) -> Principal | None:
    """Whose token or session the request has; None for nobody's. Asks the database once per request."""
    if not principals.is_noted(request):
        principals.note(request, _identify(request))
    return principals.noted(request)


def _identify(request: HttpRequest) -> Principal | None:
    """A wrong token identifies nobody, even if a valid session comes with it."""
    header = request.headers.get("Authorization")
    if header is None:
        return _by_session(request)
    token = bearer_token.from_header(header)
    if token is None:
        return None
    return _by_endpoint_token(token) if token.startswith(tokens.ENDPOINT) else _by_api_token(token)


def _by_endpoint_token(token: str) -> Principal | None:
    endpoint = endpoint_manager.authenticate(token=token)
    if endpoint is None:
        return None
    return Principal(actor=f"endpoint:{endpoint.name}", role="endpoint", way="endpoint_token", endpoint=endpoint)


def _by_api_token(token: str) -> Principal | None:
    found = tokens.authenticate_api_token(token=token)
    if found is None:
        return None
    role: PrincipalRole = "operator" if found.role == "operator" else "viewer"
    return Principal(actor=f"token:{found.name}", role=role, way="api_token")


def _by_session(request: HttpRequest) -> Principal | None:
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return None
    role: PrincipalRole = "operator" if user.is_staff else "viewer"
    return Principal(actor=f"user:{user.get_username()}", role=role, way="session")


class _Way(AuthBase):
    """One way in. It returns None for anyone else, so that Ninja tries the route's next one."""

    way = ""
    reads_only = ""

    def __init_subclass__(cls, *, scheme: str) -> None:
        """`scheme` is its name in the OpenAPI document: Ninja uses the class's name there."""
        super().__init_subclass__()
        cls.__name__ = scheme

    def __init__(self, *roles: PrincipalRole) -> None:
        super().__init__()
        self.roles = roles

    def __call__(self, request: HttpRequest) -> Principal | None:
        """Raises RequestRefused for a viewer if this way is for operators: a viewer has no other one."""
        principal = principal_of(request)
        if principal is None or principal.way != self.way:
            return None
        if principal.role == "viewer" and "viewer" not in self.roles:
            raise RequestRefused("forbidden", FOR_OPERATORS if request.method in SAFE_METHODS else self.reads_only)
        return principal if principal.role in self.roles else None


class ApiTokenAuth(_Way, scheme="ApiToken"):
    openapi_type = "http"
    openapi_scheme = "bearer"
    openapi_description = "An API token of a person or a program (`pst_…`), with the role `viewer` or `operator`."
    way = "api_token"
    reads_only = "This token is read-only. Use one with the role operator."


class EndpointTokenAuth(_Way, scheme="EndpointToken"):
    openapi_type = "http"
    openapi_scheme = "bearer"
    openapi_description = "The token of one endpoint (`pse_…`), which it got when it enrolled."
    way = "endpoint_token"

    def __init__(self, *roles: PrincipalRole, unapproved: bool = False) -> None:
        """`unapproved`: also an endpoint that waits for an operator's approval."""
        super().__init__(*roles)
        self.unapproved = unapproved

    def __call__(self, request: HttpRequest) -> Principal | None:
        """Raises ApprovalPending."""
        principal = super().__call__(request)
        if principal and principal.endpoint and not self.unapproved:
            approval.check(principal.endpoint)
        return principal


class SessionAuth(_Way, scheme="Session"):
    openapi_type = "apiKey"
    openapi_in = "cookie"
    openapi_name = settings.SESSION_COOKIE_NAME
    openapi_description = "The dashboard's session: staff may change (with X-CSRFToken), everybody else may read."
    way = "session"
    reads_only = "This account is read-only. Use one with staff status."

    def __call__(self, request: HttpRequest) -> Principal | None:
        principal = super().__call__(request)
        if principal and request.method not in SAFE_METHODS and check_csrf(request) is not None:
            raise RequestRefused("csrf_failed")
        return principal


VIEWER: list[_Way] = [ApiTokenAuth("viewer", "operator"), SessionAuth("viewer", "operator")]
OPERATOR: list[_Way] = [ApiTokenAuth("operator"), SessionAuth("operator")]
ENDPOINT: list[_Way] = [EndpointTokenAuth("endpoint")]
UNAPPROVED_ENDPOINT: list[_Way] = [EndpointTokenAuth("endpoint", unapproved=True)]


def endpoint_of(request: ApiRequest) -> Endpoint:
    """The endpoint whose token let the request in (routes with `auth=ENDPOINT`)."""
    endpoint = request.auth.endpoint
    if endpoint is None:  # the route forgot to require an endpoint's token
        raise RequestRefused("forbidden")
    return endpoint
