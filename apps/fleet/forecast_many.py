"""What a sync would do to chosen endpoints of any pools, as counts: `forecast`, pool by pool. It writes nothing.

It must not know HTTP or how they are chosen.
"""

from collections import Counter
from collections.abc import Collection

from . import forecast, proposed
from .exceptions import FleetError
from .forecast import Effect
from .models import Endpoint, Pool

# The pools that are compared, those with most of the endpoints first: each costs some statements.
POOLS = 10


def effects(names: Collection[str]) -> Counter[Effect]:
    """How many of these endpoints each effect is about; those in no pool, or in one without a target, aren't counted.

    `names` are at most `bulk_actions.MAX_ENDPOINTS`. Endpoints for which no time is left are `not_compared`,
    and so are all of further pools.
    """
    of_pool = Counter(
        Endpoint.objects.filter(name__in=names, pool__target__isnull=False).values_list("pool", flat=True)
    )
    first = [pool for pool, _ in of_pool.most_common(POOLS)]
    found: Counter[Effect] = Counter()
    for pool in Pool.objects.select_related("target").filter(pk__in=first).order_by("pk"):
        try:
            result = forecast.of(pool, proposed.find(pool, ""), among=names)
        except FleetError:  # the target is too large, or no time is left
            continue
        found.update({effect: result.count(effect) for effect in Effect})
        del of_pool[pool.pk]
    found[Effect.NOT_COMPARED] += of_pool.total()
    return +found
