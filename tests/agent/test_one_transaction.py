"""The one transaction on real pacman: which file it takes, what it removes, and what it leaves behind."""

from pathlib import Path

import pytest

from tests.support import direct
from tests.support.pacman import Fleet

pytestmark = pytest.mark.needs("pacman")
OLD, NEW = "2025/01/01", "2025/02/01"


def test_transaction_takes_the_accepted_file_and_not_the_first_of_its_name(tmp_path: Path) -> None:
    """pacman itself takes the first cache's file, as the twin at the end shows."""
    fleet = Fleet(tmp_path)
    other = tmp_path / "first"
    other.mkdir()
    wrong = fleet.package("tool", "2:1-1", files={"usr/share/tool/version": b"another build"})
    (other / wrong.path.name).write_bytes(wrong.path.read_bytes())
    right = fleet.package("tool", "2:1-1")
    fleet.snapshot(OLD, [right, fleet.package("gone", "1-1")])
    machine = fleet.machine("m", OLD, options=f"CacheDir = {other}\nCacheDir = {fleet.pool}")
    machine.install("gone")
    direct.bring(machine, direct.packages({"tool": ("2:1-1", "dependency")}))
    assert machine.state() == {"tool": ("2:1-1", "dependency")}
    assert machine.file("usr/share/tool/version") == b"2:1-1"
    assert machine.file("usr/share/gone/version") is None
    assert [path.name for path in direct.local(machine, "sync").iterdir()] == ["core.db"]
    assert (machine.directory / "pacman.log").read_text().count("transaction started") == 2
    machine.pacman("-U", other / wrong.path.name)
    assert machine.file("usr/share/tool/version") == b"another build"
