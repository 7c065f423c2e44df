"""Every page of the dashboard, from its urlconf, with an address for what a test's fleet has."""

from apps.dashboard import urls
from apps.fleet.models import EnrolmentCode, Operation, State

ROUTES = {pattern.name: str(pattern.pattern) for pattern in urls.urlpatterns if pattern.name}
PUBLIC = {"favicon", "login", "logout"}
PAGES = sorted(ROUTES.keys() - PUBLIC)
EXAMPLES = {
    "pools/<name:name>": "pools/lab",
    "endpoints/<name:name>": "endpoints/box",
    "tokens/<name:name>": "tokens/mine",
    "<name:source>": "other",
    "<name:endpoint>": "box",
    "<int:number>": "1",
    "<int:id>": "1",
    "<pkgname:name>": "app",
}


def path_of(name: str, operation: Operation | None = None) -> str:
    """The address of a page, for a fleet with the pools `lab` and `other`, the endpoint `box`, the package `app` and
    the API token `mine`.

    A page about an operation is about `operation`, or any that there is.
    """
    path = ROUTES[name]
    rows = {
        "<digest:digest>": State.objects.first(),
        "<uuid:id>": operation or Operation.objects.first(),
        "<int:id>": EnrolmentCode.objects.first(),
    }
    for placeholder, example in (EXAMPLES | {key: str(row.pk) for key, row in rows.items() if row}).items():
        path = path.replace(placeholder, example)
    assert "<" not in path, f"EXAMPLES lacks what {name} is about"
    return f"/{path}"
