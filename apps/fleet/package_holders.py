"""Which states have a package. It must not know versions, nor pools."""

from . import states, time_limit
from .models import Endpoint, PackageVersion, State


def states_with(name: str) -> set[str]:
    """The digests of the states that endpoints are in now and that have a package of exactly this name.

    Raises ComparisonTooLong.
    """
    ids = PackageVersion.objects.filter(name=name).values_list("pk", flat=True)
    values = {pk << 1 | is_dependency for pk in ids for is_dependency in (0, 1)}
    if not values:
        return set()
    present = State.objects.filter(pk__in=Endpoint.objects.filter(state__isnull=False).values("state"))
    rows = present.values_list("pk", "packages").iterator(chunk_size=500)
    return {pk for pk, packages in time_limit.bounded(rows) if not values.isdisjoint(states.unpack(packages))}
