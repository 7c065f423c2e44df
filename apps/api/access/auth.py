"""Who is asking, and whether they may: API tokens, endpoint tokens and dashboard sessions.

A route names its ways in: `auth=VIEWER`, `OPERATOR`, `OWN_TOKENS`, `ENDPOINT`, or a sum of them. It must not know
about routes.
"""

from django.conf import settings
from django.http import HttpRequest
from ninja.security.base import AuthBase
from ninja.utils import check_csrf

from apps.api.requests import principal as principals
from apps.api.requests.principal import ApiRequest, Principal
from apps.api.requests.problems import RequestRefused
from apps.fleet import approval, endpoint_manager, roles, tokens
from apps.fleet.models import Endpoint, Role
from apps.fleet.models.roles import allows
from apps.lifecycle.wsgi import bearer_token

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
FOR_OPERATORS = "Only operators may read this: a token or an account with the role operator."


def principal_of(request: HttpRequest) -> Principal | None:
    """Whose token or session the request has; None for nobody's. Asks the database once per request.

    Raises TokenExpired.
    """
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
    return Principal(actor=f"endpoint:{endpoint.name}", way="endpoint_token", endpoint=endpoint)


def _by_api_token(token: str) -> Principal | None:
    """Raises TokenExpired."""
    found = tokens.authenticate_api_token(token=token)
    if found is None:
        return None
    return Principal(actor=f"token:{found.name}", way="api_token", role=found.role_now, owner=found.owner, token=found)


def _by_session(request: HttpRequest) -> Principal | None:
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return None
    return Principal(actor=f"user:{user.get_username()}", way="session", role=roles.role_of(user), owner=user)


class _Way(AuthBase):
    """One way in. It returns None for anyone else, so that Ninja tries the route's next one."""

    way = ""

    def __init_subclass__(cls, *, scheme: str) -> None:
        """`scheme` is its name in the OpenAPI document: Ninja uses the class's name there."""
        super().__init_subclass__()
        cls.__name__ = scheme

    def __call__(self, request: HttpRequest) -> Principal | None:
        principal = principal_of(request)
        return principal if principal is not None and principal.way == self.way else None


class _WayOfRoles(_Way, scheme=""):
    """A way in for people and their tokens, from the role `needed` on."""

    reads_only = ""
    no_role = ""

    def __init__(self, needed: Role) -> None:
        super().__init__()
        self.needed = needed

    def __call__(self, request: HttpRequest) -> Principal | None:
        """Raises RequestRefused if the role isn't enough: nobody has another way in."""
        principal = super().__call__(request)
        if principal is None or allows(principal.role, self.needed):
            return principal
        if principal.role is None:
            raise RequestRefused("forbidden", self.no_role)
        raise RequestRefused("forbidden", FOR_OPERATORS if request.method in SAFE_METHODS else self.reads_only)


class ApiTokenAuth(_WayOfRoles, scheme="ApiToken"):
    openapi_type = "http"
    openapi_scheme = "bearer"
    openapi_description = (
        "An API token of a person or a program (`pst_…`), with the role `viewer`, `operator` or `administrator`. It "
        "may do no more than its owner may now."
    )
    way = "api_token"
    reads_only = "This token is read-only: its role, or its owner's, is viewer. Use one with the role operator."
    no_role = "The owner of this token has no role any more. An administrator can give one."


class EndpointTokenAuth(_Way, scheme="EndpointToken"):
    openapi_type = "http"
    openapi_scheme = "bearer"
    openapi_description = "The token of one endpoint (`pse_…`), which it got when it enrolled."
    way = "endpoint_token"

    def __init__(self, *, unapproved: bool = False) -> None:
        """`unapproved`: also an endpoint that waits for an operator's approval."""
        super().__init__()
        self.unapproved = unapproved

    def __call__(self, request: HttpRequest) -> Principal | None:
        """Raises ApprovalPending."""
        principal = super().__call__(request)
        if principal and principal.endpoint and not self.unapproved:
            approval.check(principal.endpoint)
        return principal


class SessionAuth(_WayOfRoles, scheme="Session"):
    openapi_type = "apiKey"
    openapi_in = "cookie"
    openapi_name = settings.SESSION_COOKIE_NAME
    openapi_description = (
        "The dashboard's session: viewers may read, operators and administrators may change (with X-CSRFToken)."
    )
    way = "session"
    reads_only = "Your account has the role viewer, which may only read. This needs the role operator."
    no_role = "Your account has no role. An administrator can give it one."

    def __call__(self, request: HttpRequest) -> Principal | None:
        principal = super().__call__(request)
        if principal and request.method not in SAFE_METHODS and check_csrf(request) is not None:
            raise RequestRefused("csrf_failed")
        return principal


VIEWER: list[_Way] = [ApiTokenAuth(Role.VIEWER), SessionAuth(Role.VIEWER)]
OPERATOR: list[_Way] = [ApiTokenAuth(Role.OPERATOR), SessionAuth(Role.OPERATOR)]
# Everybody has tokens of their own, but a token that may only read doesn't see or change those of its owner.
OWN_TOKENS: list[_Way] = [ApiTokenAuth(Role.OPERATOR), SessionAuth(Role.VIEWER)]
ENDPOINT: list[_Way] = [EndpointTokenAuth()]
UNAPPROVED_ENDPOINT: list[_Way] = [EndpointTokenAuth(unapproved=True)]


def endpoint_of(request: ApiRequest) -> Endpoint:
    """The endpoint whose token let the request in (routes with `auth=ENDPOINT`)."""
    endpoint = request.auth.endpoint
    if endpoint is None:  # the route forgot to require an endpoint's token
        raise RequestRefused("forbidden")
    return endpoint
