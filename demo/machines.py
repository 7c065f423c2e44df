"""The plan of a fleet: pools with their policies, machines with their roles and their history.

The same numbers give the same fleet. It must not know the database.
"""

import enum
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.fleet.alpm.state import EXPLICIT, InstalledPackage
from demo import packages

# How many days after its pool's last target a machine was upgraded by its own admin.
AHEAD = 3


class Fare(enum.Enum):
    """What has happened to a machine since its pool got its last target."""

    FOLLOWED = "followed"
    STAYED = "stayed"  # it has the previous target
    UPGRADED = "upgraded"  # its admin ran pacman -Syu
    ADDED = "added"  # its admin installed something
    MIXED = "mixed"  # some packages newer, some older
    SWITCHED_OFF = "switched off"
    UNREADABLE = "unreadable"  # it can't read its sync databases
    SILENT = "silent"  # enrolled, and never reported


@dataclass(frozen=True)
class PoolPlan:
    """A kind of pool. `share` is its relative size, `prefix` the beginning of its machines' names."""

    name: str
    prefix: str
    share: int
    description: str
    roles: tuple[str, ...]
    policy: Mapping[str, Any] = field(default_factory=dict)
    holds: tuple[str, ...] = ()
    has_target: bool = True


KINDS = (
    PoolPlan("workstations", "ws", 42, "Desks in the office. Follow canary.", ("base", "desktop"), {"auto_sync": True}),
    PoolPlan("canary", "canary", 4, "Gets every target first, for a day.", ("base", "desktop"), {"auto_sync": True}),
    PoolPlan("web", "web", 14, "Web servers behind HAProxy. Synced by hand, in the morning.", ("base", "server")),
    PoolPlan(
        "laptops",
        "lt",
        14,
        "Away for days. Each keeps its own kernel and driver.",
        ("base", "gnome", "desktop"),
        {"auto_sync": True, "excluded_packages": ["nvidia*", "linux-lts*"]},
        ("linux", "linux-headers"),
    ),
    PoolPlan(
        "build",
        "build",
        10,
        "Build machines. Their compiler is never downgraded.",
        ("base", "server", "devel"),
        {"auto_sync": True, "conflict_resolution": "newest"},
    ),
    PoolPlan(
        "database",
        "db",
        6,
        "PostgreSQL. An operator approves each target.",
        ("base", "server", "database"),
        {"auto_sync": True, "endpoint_targets_need_approval": True},
    ),
    PoolPlan(
        "kiosk",
        "kiosk",
        8,
        "Screens in the halls. Always exactly the target.",
        ("base", "gnome", "desktop"),
        {"auto_sync": True, "conflict_resolution": "oldest"},
    ),
    PoolPlan("lab", "lab", 2, "No target yet.", ("base", "desktop", "games", "nvidia"), has_target=False),
)
BUILT = ("google-chrome", "paru", "slack-desktop", "spotify", "visual-studio-code-bin", "yay", "zoom")
"""Packages of the AUR: foreign to every machine that has them."""


@dataclass(frozen=True)
class Machine:
    """One machine. `pool` is None for a machine that is in no pool yet."""

    name: str
    pool: str | None
    kind: PoolPlan
    fare: Fare
    foreign: tuple[InstalledPackage, ...]
    every_package: bool = False

    @property
    def roles(self) -> tuple[str, ...]:
        return packages.roles() if self.every_package else self.kind.roles

    def packages_on(self, day: int) -> list[InstalledPackage]:
        """Its packages when it follows its pool to the packages of that day, sorted by name."""
        return sorted([*packages.installed(self.roles, day), *self.foreign])

    def packages_now(self, day: int, before: int) -> list[InstalledPackage]:
        """Its packages now, if its pool's target is of `day` and the previous one of `before`."""
        if self.fare is Fare.STAYED:
            return self.packages_on(before)
        if self.fare is Fare.UPGRADED:
            return self.packages_on(day + AHEAD)
        if self.fare is Fare.MIXED:
            new, old = self.packages_on(day + AHEAD), self.packages_on(before)
            return [pair[number % 2] for number, pair in enumerate(zip(new, old, strict=True))]
        if self.fare is Fare.ADDED:
            names = {one.name for one in packages.installed(self.roles, day)}
            more = [one for one in packages.catalogue() if one.role == "optional" and one.name not in names]
            chosen = random.Random(self.name).sample(more, min(3, len(more)))  # noqa: S311 - no secret
            return sorted([*self.packages_on(day), *(one.installed(day) for one in chosen)])
        return self.packages_on(day)

    def refreshed(self, day: int, before: int) -> int:
        """The day of its sync databases."""
        return {Fare.STAYED: before, Fare.UPGRADED: day + AHEAD, Fare.MIXED: day + AHEAD}.get(self.fare, day)


@dataclass(frozen=True)
class Fleet:
    """The size of a fleet. `distinct`: no two machines have the same packages. `every_package`: each has all."""

    endpoints: int = 200
    pools: int = len(KINDS)
    distinct: bool = False
    every_package: bool = False

    def pool_plans(self) -> list[tuple[str, PoolPlan]]:
        """The pools' names and kinds: one of each kind, then those of further sites."""
        return [
            (kind.name if not site else f"{kind.name}-{site + 1}", kind)
            for number in range(self.pools)
            for site, kind in [(number // len(KINDS), KINDS[number % len(KINDS)])]
        ]

    def machines(self) -> Iterator[Machine]:
        """Every machine; the first one of a pool is the source of its targets. Two are in no pool yet."""
        plans = self.pool_plans()
        total = sum(kind.share for _, kind in plans)
        made = 0
        for number, (pool, kind) in enumerate(plans):
            upto = (self.endpoints - 2) * sum(plan.share for _, plan in plans[: number + 1]) // total
            site = pool.removeprefix(kind.name)
            for index in range(1, upto - made + 1):
                yield self._machine(f"{kind.prefix}{site}-{index:03}", pool, kind, index)
            made = max(made, upto)
        for index in range(1, self.endpoints - made + 1):
            fare = Fare.SILENT if index == 1 else Fare.FOLLOWED
            yield Machine(f"new-{index:03}", None, KINDS[0], fare, (), self.every_package)

    def _machine(self, name: str, pool: str, kind: PoolPlan, index: int) -> Machine:
        chance = random.Random(name)  # noqa: S311 - no secret
        foreign = {built: f"{chance.randrange(1, 4)}.{chance.randrange(20)}-1" for built in BUILT}
        chosen = chance.sample(BUILT, chance.choice((0, 0, 1, 2))) if "desktop" in kind.roles else []
        built = [InstalledPackage(one, foreign[one], packages.ARCH, EXPLICIT) for one in sorted(chosen)]
        if self.distinct:
            built.append(InstalledPackage("host-profile", f"{name.replace('-', '.')}-1", "any", EXPLICIT))
        return Machine(name, pool, kind, _fare(index, chance), tuple(sorted(built)), self.every_package)


def _fare(index: int, chance: random.Random) -> Fare:
    """The first machine of a pool is the source of its target, the second follows it, and most of the others do."""
    if index <= 2:
        return Fare.FOLLOWED
    fares = {
        Fare.FOLLOWED: 78,
        Fare.STAYED: 8,
        Fare.UPGRADED: 3,
        Fare.ADDED: 4,
        Fare.MIXED: 2,
        Fare.SWITCHED_OFF: 4,
        Fare.UNREADABLE: 1,
    }
    return chance.choices([*fares], [*fares.values()])[0]
