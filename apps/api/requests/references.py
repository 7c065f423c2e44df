"""Query parameters that refer to a set of packages (`apps.fleet.references`). It must not know what is done with it."""

from apps.api.requests.problems import FieldError, RequestRefused
from apps.fleet import references, states
from apps.fleet.alpm.state import InstalledPackage
from apps.fleet.exceptions import Invalid


def packages_of(parameter: str, reference: str) -> list[InstalledPackage]:
    """The packages that the query parameter names. Raises NotFound, StateUnknown, RequestRefused (invalid_request)."""
    try:
        found = references.find(reference)
    except Invalid as error:
        raise RequestRefused(
            "invalid_request", errors=[FieldError(loc=["query", parameter], message=str(error))]
        ) from None
    return states.load(found.state)
