"""Two machines with a package of a group, the second newer. It must not know what is done with them."""

from tests.support.pacman import Fleet, Machine

OLD, NEW = "2025/01/01", "2025/02/01"


def two_machines(fleet: Fleet, options: str = "") -> tuple[Machine, Machine]:
    """Both have `base` of the group `core`. The second has a newer `tool`, and an `extra` that the first hasn't."""
    make = fleet.package
    fleet.snapshot(OLD, [make("tool", "1-1"), make("base", "1-1", groups=["core"])])
    fleet.snapshot(NEW, [make("tool", "2-1"), make("base", "2-1", groups=["core"]), make("extra", "1-1")])
    one = fleet.machine("m1", OLD, options=options)
    one.install("tool", "base")
    two = fleet.machine("m2", NEW)
    two.install("tool", "base", "extra")
    return one, two
