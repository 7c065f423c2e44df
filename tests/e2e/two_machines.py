"""Two machines, of which the second has newer packages. It must not know what is done with them."""

import json
from pathlib import Path

from tests.support import agent
from tests.support.pacman import Fleet, Machine

OLD, NEW = "2025/01/01", "2025/02/01"


def two_machines(directory: Path) -> tuple[Machine, Machine]:
    fleet = Fleet(directory)
    make = fleet.package
    fleet.snapshot(OLD, [make("tool", "1-1"), make("gone", "1-1")])
    fleet.snapshot(NEW, [make("tool", "2-1"), make("extra", "1-1")])
    one, two = fleet.machine("m1", OLD), fleet.machine("m2", NEW)
    one.install("tool", "gone")
    two.install("tool", "extra")
    return one, two


def endpoint_name(machine: Machine) -> str:
    return str(json.loads((agent.state_dir(machine) / "credentials.json").read_text())["name"])
