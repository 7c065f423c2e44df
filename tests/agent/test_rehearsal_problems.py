"""Problems that the database had before a sync refuse nothing, whether an earlier check has seen them or not."""

import os
from pathlib import Path

import pytest

from apps.agent.pacsync_agent.examination import source_examination
from apps.agent.pacsync_agent.pacman import execution
from apps.agent.pacsync_agent.transaction import rehearsal
from tests.support import direct
from tests.support.pacman import Fleet

pytestmark = [
    pytest.mark.needs("pacman"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may prepare a transaction"),
]
DAY = "2025/01/01"
PROBLEM = "missing 'lib' dependency for 'broken'"


@pytest.mark.parametrize("known", [None, set(), {PROBLEM}])
def test_old_problem_is_found_and_refuses_nothing(
    known: set[str] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = Fleet(tmp_path)
    broken = fleet.package("broken", "1-1", depends=["lib"])
    fleet.snapshot(DAY, [broken, fleet.package("tool", "2-1")])
    machine = fleet.machine("m", DAY)
    machine.pacman("-Udd", broken.path)
    monkeypatch.setattr(source_examination, "database_problems", lambda *_: known)
    checks: list[Path] = []
    check = execution.database_problems

    def counted(config: Path) -> set[str]:
        checks.append(config)
        return check(config)

    monkeypatch.setattr(execution, "database_problems", counted)
    agent = direct.agent_of(machine)
    try:
        goal = direct.packages({"broken": ("1-1", "explicit"), "tool": ("2-1", "explicit")})
        assert agent.prepare(goal, held=()).problems == {PROBLEM}
    finally:
        rehearsal.remove_rehearsal(agent.rehearsal_dir)
    assert len(checks) == (1 if known else 2 if known is None else 3)
