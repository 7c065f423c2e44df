"""What every worker does each second."""

import pytest

from apps.lifecycle.dbpool import write_state
from apps.lifecycle.shared_memory import memory
from apps.lifecycle.shared_memory.memory import Memory
from apps.lifecycle.work import loops, worker_upkeep


def test_upkeep_worker_that_does_not_lead_tells_its_observers_what_another_has_found(
    own_memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(write_state._state, "observers", [lambda: told.append(write_state.problem())])
    monkeypatch.setattr(write_state._state, "seen", "")
    memory.install(own_memory, slot=1)
    memory.mine().claim(4712)
    own_memory.header.writes_problem = write_state.PROBLEMS.index(write_state.DISK_FULL)
    loop = loops._state.loops[worker_upkeep.LOOP]
    assert loop.due() and not memory.leads()
    loop.step()
    assert told == [write_state.DISK_FULL]
