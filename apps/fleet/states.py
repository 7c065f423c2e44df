"""States as rows and as packages: interning, packing, loading. It must not know endpoints, pools or operations.

A row holds the sorted array of little-endian uint32 `PackageVersion id << 1 | is_dependency`.
"""

import json
import sys
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from django.conf import settings
from django.db import connection, transaction

from . import time_limit
from .alpm import state as canonical
from .alpm.canonical import write_lines
from .alpm.names import machine_arch
from .alpm.state import DEPENDENCY, EXPLICIT, InstalledPackage
from .content_lock import share_content
from .exceptions import FleetError, StateTooLarge
from .models import PackageVersion, State
from .plural import counted

_MAX_ID = 2**31 - 1
Key = tuple[str, str, str]
T = TypeVar("T")


def save(packages: Sequence[InstalledPackage]) -> tuple[State, bool]:
    """The state of exactly these packages; (state, True if it was new). ValueError for what is no set of packages."""
    text = canonical.to_text(packages)
    digest = canonical.digest_of(text)
    return save_as(digest, packages)


def save_as(digest: str, packages: Sequence[InstalledPackage]) -> tuple[State, bool]:
    """`save` for packages that were read from the canonical text with this digest."""
    known = State.objects.filter(pk=digest).first()
    return (known, False) if known else _insert(digest, packages)


def check_size(count: int) -> None:
    """Raise StateTooLarge for more packages than the server takes."""
    limit = settings.STATE_MAX_PACKAGES
    if count > limit:
        raise StateTooLarge(
            f"The state has {counted(count, 'package')}, and this server takes at most {limit:,}: "
            "raise STATE_MAX_PACKAGES on the server if that is meant.",
            packages=count,
            limit=limit,
            setting="STATE_MAX_PACKAGES",
        )


def digest(packages: Iterable[InstalledPackage]) -> str:
    """The digest of packages that come from states, so that nothing about them needs a check."""
    return canonical.digest_of(write_lines([" ".join(package) for package in packages]))


def _insert(digest: str, packages: Sequence[InstalledPackage]) -> tuple[State, bool]:
    with transaction.atomic():
        share_content()  # the ids that are read now must still be there when the array is committed
        ids = intern(package[:3] for package in packages)
        values = pack(ids[package[:3]] << 1 | (package.reason == DEPENDENCY) for package in packages)
        fields = {"arch": arch_of(packages), "package_count": len(packages), "packages": values}
        return State.objects.get_or_create(digest=digest, defaults=fields)


def load(state: State) -> list[InstalledPackage]:
    """The packages of a state, sorted by name. One query.

    Raises StateTooLarge for one that was kept when the limit was higher, ComparisonTooLong.
    """
    check_size(state.package_count)
    return sorted(load_values(unpack(state.packages)).values())


def load_values(values: Iterable[int]) -> dict[int, InstalledPackage]:
    """The package behind each packed value."""
    values = set(values)
    time_limit.check()
    rows = _by_ids(sorted({value >> 1 for value in values}))
    time_limit.check()
    return {value: InstalledPackage(*rows[value >> 1], DEPENDENCY if value & 1 else EXPLICIT) for value in values}


def packed(digests: Iterable[str]) -> dict[str, frozenset[int]]:
    """The packed values of each of these states. Raises ComparisonTooLong."""
    found: dict[str, frozenset[int]] = {}
    for chunk in chunks(sorted(digests)):
        for digest, packages in State.objects.filter(pk__in=chunk).values_list("pk", "packages"):
            time_limit.check()
            found[digest] = frozenset(unpack(packages))
    return found


def pack(values: Iterable[int]) -> bytes:
    """The bytes of a sorted array of packed values."""
    packed = array("I", sorted(values))
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def unpack(packages: "bytes | memoryview") -> "array[int]":
    """The packed values of a row's `packages`."""
    values = array("I")
    values.frombytes(bytes(packages))
    if sys.byteorder == "big":
        values.byteswap()
    return values


def intern(keys: Iterable[Key]) -> dict[Key, int]:
    """The PackageVersion id of each (name, version, arch), made where there was none.

    Rows are added in the order of their keys: two uploads that add the same ones then wait for each other in one
    direction only. Whoever comes second reads what the first committed.
    """
    wanted = sorted(set(keys))
    ids = _by_keys(wanted)
    missing = [key for key in wanted if key not in ids]
    if missing:
        _add(missing)
        ids.update(_by_keys(missing))
    if ids and max(ids.values()) > _MAX_ID:
        raise FleetError("The 31 bits for the number of a package version are used up.")
    return ids


def _add(keys: Sequence[Key]) -> None:
    """Without the ORM, whose objects took most of the time. Another transaction may add the same rows."""
    table = connection.ops.quote_name(PackageVersion._meta.db_table)
    into = f"INSERT INTO {table} (name, version, arch)"
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            columns = [list(column) for column in zip(*keys, strict=True)]
            values = "SELECT * FROM unnest(%s::text[], %s::text[], %s::text[])"
            cursor.execute(f"{into} {values} ON CONFLICT DO NOTHING", columns)
        else:
            cursor.executemany(f"{into} VALUES (%s, %s, %s) ON CONFLICT DO NOTHING", keys)


def _by_keys(keys: Sequence[Key]) -> dict[Key, int]:
    """The ids of those `keys` that exist. Rows are compared as a whole: columns alone would match crosswise."""
    if connection.vendor == "postgresql":
        names = [list(column) for column in zip(*keys, strict=True)] or [[], [], []]
        rows = _select("(name, version, arch) IN (SELECT * FROM unnest(%s::text[], %s::text[], %s::text[]))", names)
        return {key: pk for pk, key in rows}
    # One parameter and a join: a list of VALUES is looked through for every row.
    wanted = (
        "SELECT packages.id FROM json_each(%s) AS wanted CROSS JOIN {table} AS packages"
        " ON packages.name = json_extract(wanted.value, '$[0]')"
        " AND packages.version = json_extract(wanted.value, '$[1]')"
        " AND packages.arch = json_extract(wanted.value, '$[2]')"
    )
    return {key: pk for pk, key in _select(f"id IN ({wanted})", [json.dumps(keys)])}


def _by_ids(ids: Sequence[int]) -> dict[int, Key]:
    """The rows with these ids."""
    if not ids:
        return {}
    if connection.vendor == "postgresql":
        return dict(_select("id = ANY(%s)", [list(ids)]))
    return dict(_select("id IN (SELECT value FROM json_each(%s))", [json.dumps(list(ids))]))


def _select(condition: str, parameters: Sequence[Any]) -> list[tuple[int, Key]]:
    """Without the ORM: both databases take a list as one parameter; 4,500 parameters took most of the time.

    `{table}` in the condition is the table's name.
    """
    table = connection.ops.quote_name(PackageVersion._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id, name, version, arch FROM {table} WHERE {condition.format(table=table)}", parameters)  # noqa: S608
        return [(pk, (name, version, arch)) for pk, name, version, arch in cursor.fetchall()]


def chunks(items: Sequence[T], share: int = 1) -> Iterator[Sequence[T]]:
    """`items` in pieces that one statement can take as parameters, `share` parameters for each item."""
    size = (connection.features.max_query_params or 20_000) // share
    return (items[start : start + size] for start in range(0, len(items), size))


def arch_of(packages: Iterable[InstalledPackage]) -> str:
    """The machine's architecture: the one that most packages are built for; `any` when none needs one."""
    counts = Counter(machine_arch(package.arch) for package in packages if package.arch != "any")
    return counts.most_common(1)[0][0] if counts else "any"
