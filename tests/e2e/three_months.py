"""Three months of a repository, and machines of its first one. It must not know what they are synced to."""

from pathlib import Path

from tests.support.pacman import Fleet, Machine

JANUARY, FEBRUARY, MARCH = "2025/01/01", "2025/02/01", "2025/03/01"
INSTALLED = ("app", "tool", "oldc", "usesc", "confx", "held", "leaf", "host", "odd")


def three_months(directory: Path) -> Fleet:
    """Three months of a repository: a rename, an epoch, a soname break, conflicts, a split dependency, odd versions."""
    fleet = Fleet(directory)
    make = fleet.package
    filesys = [make("filesys", f"{number}-1") for number in (1, 2)]
    foo = [
        make("libfoo", f"{version}-1", "x86_64", provides=[f"libfoo.so={soname}-64"])
        for version, soname in (("1.0", 1), ("1.1", 1), ("2.0", 2))
    ]
    app = [
        make("app", f"{number}.0-1", "x86_64", depends=[f"libfoo>={number}.0", "filesys", f"libfoo.so={number}-64"])
        for number in (1, 2)
    ]
    tool = [make("tool", version) for version in ("1.0-1", "1.1-1", "1:0.9-1")]
    old = make("oldc", "1.0-1", "x86_64")
    # It provides the very version that it replaces: a conflict with `oldc=1.0-1` would hit it too.
    new = make("newc", "1.0-1", "x86_64", replaces=["oldc"], conflicts=["oldc"], provides=["oldc=1.0"])
    uses = make("usesc", "1.0-1", depends=["oldc"])
    confx, confy = make("confx", "1.0-1"), make("confy", "1.0-1", conflicts=["confx"])
    held = [make("held", f"1.{number}-1") for number in (0, 1)]
    leaf = make("leaf", "1.0-1", "x86_64", depends=["libfoo.so=1-64"])
    plug = make("plug", "1.0-1")
    host = [make("host", "1.0-1", depends=["plug"]), make("host", "2.0-1")]
    odd = [make("odd", version) for version in ("1.0+git~3.r1_a-1.2", "2:1.0^beta%1-1")]
    ring = [make("ringa", "1-1", depends=["ringb"]), make("ringb", "1-1", depends=["ringa"])]
    fleet.snapshot(
        JANUARY, [filesys[0], foo[0], app[0], tool[0], old, uses, confx, held[0], leaf, plug, host[0], odd[0]]
    )
    fleet.snapshot(
        FEBRUARY, [filesys[0], foo[1], app[0], tool[1], old, uses, confx, held[1], leaf, plug, host[0], odd[0], *ring]
    )
    fleet.snapshot(MARCH, [filesys[1], foo[2], app[1], tool[2], new, uses, confy, held[1], host[1], odd[1], *ring])
    make("foreign", "0.1-1")
    return fleet


def machines(fleet: Fleet, *names: str) -> list[Machine]:
    made = []
    for name in names:
        machine = fleet.machine(name, JANUARY)
        machine.install(*INSTALLED)
        made.append(machine)
    return made


def to_march(machine: Machine) -> None:
    """As an admin would do it: the machine's own way, with renames and removals."""
    machine.go_to(MARCH)
    machine.pacman("-Rdd", "leaf", "confx")
    machine.pacman("-Rdd", "oldc")
    machine.pacman("-S", "newc", "confy", "ringa")
    machine.upgrade()
    machine.pacman("-R", "plug")
    machine.pacman("-D", "--asdeps", "newc")
    assert machine.problems() == []
