"""Random pairs of package sets, each sound by itself, that differ in every way in which two machines may.

It must not know how a machine gets from one to the other.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from apps.fleet.alpm.state import InstalledPackage
from tests.support.pacman import Fleet

SIZE = 14  # names of a world
VERSIONS = ("1-1", "2-1", "1:0.5-1", "1.0+git~1-2", "3.0rc1-1")


@dataclass(frozen=True)
class World:
    """The two sets."""

    first: list[InstalledPackage]
    second: list[InstalledPackage]


def make(fleet: Fleet, seed: int) -> World:
    """A world of its own kind for each seed; the package files lie in the pool of the fleet."""
    chance = random.Random(seed)
    names = [f"w{seed}n{number}" for number in range(SIZE)]
    common = {name: chance.choice(VERSIONS) for name in names if chance.random() < 0.3}
    shared = _build(fleet, chance, common, {}, "x")
    return World(*(_side(fleet, chance, names, common, shared, side) for side in ("a", "b")))


def _side(
    fleet: Fleet, chance: random.Random, names: list[str], common: dict[str, str], shared: list[str], side: str
) -> list[InstalledPackage]:
    own = {name: chance.choice(VERSIONS) for name in names if name not in common and chance.random() < 0.6}
    if chance.random() < 0.2:
        own = {}
    _build(fleet, chance, own, common, side)
    versions = {**common, **{name: f"{version}{(side == 'b' and '.1') or ''}" for name, version in own.items()}}
    reason = chance.choice(([0.5], [0.1], [0.9]))[0]
    return [
        InstalledPackage(name, version, "any", "dependency" if chance.random() < reason else "explicit")
        for name, version in sorted(versions.items())
    ]


def _build(fleet: Fleet, chance: random.Random, own: dict[str, str], common: dict[str, str], side: str) -> list[str]:
    """Make these packages; each may need, provide and replace what is there with it, and conflict with what isn't."""
    for name, version in own.items():
        full = f"{version}{(side == 'b' and '.1') or ''}"
        fleet.package(name, full, **dict(_lists(chance, name, own, common, side)))
    return list(own)


def _lists(
    chance: random.Random, name: str, own: dict[str, str], common: dict[str, str], side: str
) -> Iterator[tuple[str, list[str]]]:
    depends = []
    others = [other for other in own if other != name]
    for other in chance.sample(others, min(len(others), chance.choice((0, 0, 1, 2, 3)))):
        full = f"{own[other]}{(side == 'b' and '.1') or ''}"
        depends.append(chance.choice((other, f"{other}={full}", f"{other}>={full}", f"lib{other}.so={side}1-64")))
    depends += chance.sample(sorted(common), min(len(common), chance.choice((0, 0, 1))))
    yield "depends", depends
    everything = [f"{name.partition('n')[0]}n{number}" for number in range(SIZE)]
    absent = [other for other in everything if other not in own and other not in common]
    absent = absent[list(own).index(name) :][:1]  # two successors of the same one would be in conflict
    provides = [f"lib{name}.so={side}1-64"]
    if side != "x" and absent and chance.random() < 0.4:  # the successor of something that isn't there with it
        old = chance.choice(absent)
        provides.append(chance.choice((old, f"{old}=1", f"{old}=2-1", f"{old}=1.1")))
        yield "conflicts", [old] if chance.random() < 0.5 else []
        yield "replaces", [old]
    yield "provides", provides
