"""What a sync would do to chosen endpoints of any pools, as counts: `forecast`, pool by pool. It writes nothing.

It must not know HTTP, nor how they are chosen.
"""

from collections import Counter
from collections.abc import Collection

from . import forecast, proposed
from .exceptions import FleetError
from .forecast import Effect
from .models import Endpoint, Pool

# So many pools are compared, those first that have most of the endpoints: each costs some statements.
POOLS = 10


def effects(names: Collection[str]) -> Counter[Effect]:
    """How many of these endpoints each effect is about; those in no pool, or in one without a target, aren't counted.

    `names` are at most `many.MOST`. What there is no time left for, and all in further pools, is `not_compared`.
    """
    of_pool = Counter(
        Endpoint.objects.filter(name__in=names, pool__target__isnull=False).values_list("pool", flat=True)
    )
    first = [pool for pool, _ in of_pool.most_common(POOLS)]
    found: Counter[Effect] = Counter()
    for pool in Pool.objects.select_related("target").filter(pk__in=first).order_by("pk"):
        try:
            told = forecast.of(pool, proposed.find(pool, ""), among=names)
        except FleetError:  # the target is too large, or no time is left
            continue
        found.update({effect: told.count(effect) for effect in Effect})
        del of_pool[pool.pk]
    found[Effect.NOT_COMPARED] += of_pool.total()
    return +found
