"""Which endpoint has which version of a package, read from the index and, for what isn't in it yet, from the states.

One statement reads endpoints, the places of their states and the postings. The versions of the package and the states
that aren't in the index have statements of their own. A caller runs all of them in one `consistent_read`: otherwise an
endpoint that takes a new version in between would be named as one without the package. It must not know the order of
versions or who asks.
"""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import connection

from . import states, time_limit
from .key_lists import aggregated, joined
from .models import Endpoint, PackageVersion, Posting, State

# Whether the posting has the state's slot set. SQLite has no function for it: the hexadecimal digits are looked at,
# of which the first one of each byte is the higher half.
_HAS = {
    "postgresql": "get_bit(found.bits, s.slot) = 1",
    "sqlite": "(instr('0123456789ABCDEF', substr(hex(found.bits), s.slot / 4 + 2 - 2 * (s.slot / 4 %% 2), 1)) - 1)"
    " >> (s.slot %% 4) & 1",
}
_ANY = {"postgresql": "= ANY(%s)", "sqlite": "IN (SELECT value FROM json_each(%s))"}
_CHUNK = 200


@dataclass(frozen=True, kw_only=True)
class Within:
    """Which endpoints are asked for: of the pool with this key, or of none (`unassigned`), or all; after a name.

    `having` True: only those that have one of the versions; False: only those that have none; None: either.
    """

    pool: int | None = None
    unassigned: bool = False
    after: str = ""
    having: bool | None = None


class Holder(NamedTuple):
    """An endpoint that has reported, and the key of the package version that it has, if any."""

    key: int
    name: str
    pool: int | None
    version: int | None


class Share(NamedTuple):
    """How many endpoints of a pool (its key) have a package version (its key; None for none of those asked for)."""

    pool: int | None
    version: int | None
    endpoints: int


def versions_of(name: str) -> dict[int, tuple[str, str]]:
    """The package's versions that any state has or lately had: (version, arch) by key. One query."""
    rows = PackageVersion.objects.filter(name=name).values_list("pk", "version", "arch")
    return {key: (version, arch) for key, version, arch in rows}


def holders(versions: Collection[int], within: Within) -> list[Holder]:
    """The endpoints by name, each with the one of these versions of a package that it has. Raises ComparisonTooLong."""
    rows = _rows("e.id, e.name, e.pool_id", "ORDER BY e.name", versions, within)
    waiting = {row[4] for row in rows if row[4]}
    if not waiting:  # as usual, and the statement has chosen by `having`
        return [Holder._make(row[:4]) for row in rows]
    read = _read(waiting, versions)
    found = [
        Holder(key, name, pool, read.get(digest) if digest else version) for key, name, pool, version, digest in rows
    ]
    return found if within.having is None else [one for one in found if (one.version is not None) == within.having]


def having(versions: Collection[int]) -> str:
    """The endpoints that have one of these versions: primary keys, for `key_lists.IsAmong`. Raises ComparisonTooLong.

    They come as a few lists that nobody reads here: most endpoints of a fleet have a usual package.
    """
    rows = _rows(aggregated("e.id"), "GROUP BY 2, 3", versions, Within(having=True))
    read = _read({digest for *_, digest in rows if digest}, versions)
    return joined(keys for keys, _, digest in rows if digest is None or digest in read)


def shares(versions: Collection[int], within: Within) -> list[Share]:
    """How many endpoints of each pool have each version, and how many none of them. Raises ComparisonTooLong."""
    rows = _rows("count(*), e.pool_id", "GROUP BY 2, 3, 4", versions, within)
    read = _read({digest for *_, digest in rows if digest}, versions)
    counted: dict[tuple[int | None, int | None], int] = {}
    for count, pool, version, digest in rows:
        key = (pool, read.get(digest) if digest else version)
        counted[key] = counted.get(key, 0) + count
    return [Share(pool, version, count) for (pool, version), count in counted.items()]


def _rows(columns: str, end: str, versions: Collection[int], within: Within) -> list[Any]:
    """`columns` of endpoints, the key of their version, and the digest of a state that isn't in the index."""
    quote, vendor = connection.ops.quote_name, connection.vendor
    endpoints, stored, postings = (quote(model._meta.db_table) for model in (Endpoint, State, Posting))
    condition, parameters = _within(within)
    statement = (
        # MATERIALIZED: else PostgreSQL may look into the postings once for each endpoint.
        f"WITH found AS MATERIALIZED (SELECT version, segment, bits FROM {postings} WHERE version {_ANY[vendor]})"  # noqa: S608
        f" SELECT {columns}, found.version, CASE WHEN s.segment IS NULL THEN s.digest END"
        f" FROM {endpoints} e JOIN {stored} s ON s.digest = e.state_id"
        f" LEFT JOIN found ON found.segment = s.segment AND {_HAS[vendor]}"
        f" WHERE {condition} {end}"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [_list(sorted(versions)), *parameters])
        return list(cursor.fetchall())


def _within(within: Within) -> tuple[str, list[Any]]:
    conditions: list[str] = ["e.name > %s"]
    parameters: list[Any] = [within.after]
    if within.unassigned:
        conditions.append("e.pool_id IS NULL")
    elif within.pool is not None:
        conditions.append("e.pool_id = %s")
        parameters.append(within.pool)
    if within.having is not None:  # what isn't in the index is looked at afterwards
        conditions.append(f"(found.version IS {'NOT ' if within.having else ''}NULL OR s.segment IS NULL)")
    return " AND ".join(conditions), parameters


def _list(values: Sequence[int]) -> Any:
    return list(values) if connection.vendor == "postgresql" else json.dumps(values)


def _read(digests: Iterable[str], versions: Collection[int]) -> dict[str, int]:
    """The version that each of these states has, of those that have one: the states are read for it."""
    wanted = frozenset(version << 1 | dependency for version in versions for dependency in (0, 1))
    found: dict[str, int] = {}
    ordered = sorted(digests) if wanted else []
    for start in range(0, len(ordered), _CHUNK):
        time_limit.check()
        rows = State.objects.filter(pk__in=ordered[start : start + _CHUNK]).values_list("pk", "packages")
        for digest, packages in rows:
            for value in wanted.intersection(states.unpack(packages)):
                found[digest] = value >> 1
    return found
