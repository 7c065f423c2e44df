"""Which packages have a file in a machine's own databases, where the target recorded none. It writes nothing.

It must not know what a machine does with a file that nobody knows.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from . import repositories, time_limit
from .exceptions import ComparisonTooLong
from .models import EndpointRepository, Pool

Package = tuple[str, str, str]
# The repository contents that are read, those that most machines see first: each takes some 10 ms.
CONTENTS_READ = 32


def unknown_to(pool: Pool, wanted: Mapping[int, Sequence[Package]]) -> dict[int, list[str]]:
    """The names of the `wanted` packages that none of the endpoint's own repositories offers, by the endpoint's key.

    An endpoint is left out where it has all of them, and where one of its repositories wasn't read.
    """
    if not wanted:
        return {}
    digests: dict[int, list[str]] = defaultdict(list)
    rows = EndpointRepository.objects.filter(endpoint__pool=pool).values_list("endpoint", "content_id")
    for endpoint, digest in rows.iterator(chunk_size=2000):
        if endpoint in wanted:
            digests[endpoint].append(digest)
    packages = {package for each in wanted.values() for package in each}
    seen = Counter(digest for each in digests.values() for digest in each)
    offered = _offered([digest for digest, _ in seen.most_common(CONTENTS_READ)], packages)
    found: dict[int, list[str]] = {}
    for endpoint, each in wanted.items():
        own = digests[endpoint]
        if all(digest in offered for digest in own):
            known = set().union(*(offered[digest] for digest in own))
            if missing := [package[0] for package in each if package not in known]:
                found[endpoint] = missing
    return found


def _offered(digests: Sequence[str], packages: set[Package]) -> dict[str, set[Package]]:
    """Those of the packages that each content offers; without the contents that there was no time for."""
    found: dict[str, set[Package]] = {}
    names = {package[0] for package in packages}
    try:
        for digest in time_limit.bounded(digests, every=1):
            offers = repositories.offered(digest, names).values()
            found[digest] = packages & {(one.name, one.version, one.arch) for one in offers}
    except ComparisonTooLong:
        pass
    return found
