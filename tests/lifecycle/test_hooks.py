"""What the master's hooks do to the shared memory, without a fork."""

import os
from types import SimpleNamespace
from typing import Any

import pytest

from apps.lifecycle import shutdown
from apps.lifecycle.gunicorn import master_hooks
from apps.lifecycle.shared_memory import memory
from apps.lifecycle.shared_memory.memory import Memory


@pytest.fixture
def server(own_memory: Memory, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An arbiter's part that the hooks use; nobody holds a slot."""
    memory.mine().release()
    monkeypatch.setattr("apps.lifecycle.dbpool.facade.close_before_fork", lambda: None)
    monkeypatch.setattr(master_hooks.state, "reports", [])
    monkeypatch.setattr(master_hooks.state, "killed", 0)
    return SimpleNamespace(WORKERS={}, pid=os.getpid())


def fork(server: Any, pid: int) -> Any:
    worker = SimpleNamespace(pid=pid, age=pid)
    master_hooks.pre_fork(server, worker)
    server.WORKERS[pid] = worker
    return worker


def test_pre_fork_sibling_that_has_not_written_its_pid_keeps_its_slot(server: Any) -> None:
    assert [fork(server, pid).slot for pid in (101, 102, 103)] == [0, 1, 2]


def test_pre_fork_slot_of_a_worker_that_is_gone_is_used_again(server: Any) -> None:
    fork(server, 101)
    fork(server, 102)
    del server.WORKERS[101]
    assert fork(server, 103).slot == 0


def test_pre_fork_reload_with_an_early_exit_the_new_workers_shares_are_the_whole_budget(server: Any) -> None:
    for pid in (101, 102, 103):
        fork(server, pid)
    new = [fork(server, 104)]
    del server.WORKERS[101]  # its slot is free now, but its share is already the new worker's
    new += [fork(server, 105), fork(server, 106)]
    assert sorted(worker.slot % 3 for worker in new) == [0, 1, 2]


def test_child_exit_frees_the_slot_and_while_serving_reports_nothing(server: Any, own_memory: Memory) -> None:
    worker = fork(server, 101)
    master_hooks.child_exit(server, worker)
    assert own_memory.slot(worker.slot).pid == 0
    assert master_hooks.state.reports == []


@pytest.mark.parametrize("serves", [True, False])
def test_child_exit_killed_while_stopping_its_work_is_abandoned(server: Any, own_memory: Memory, serves: bool) -> None:
    """One that still loads ends by itself."""
    worker = fork(server, 101)
    slot = own_memory.slot(worker.slot)
    if serves:
        slot.accepting()
    slot.track("sync_operation")
    slot.count(2)
    shutdown.begin(15, 10)
    shutdown.stop()
    master_hooks.child_exit(server, worker)
    assert master_hooks.state.killed == serves
    assert master_hooks.state.reports[0].abandoned == {"sync_operation": 1, "requests": 2}


def test_child_exit_with_a_report_it_is_kept(server: Any, own_memory: Memory) -> None:
    worker = fork(server, 101)
    report = shutdown.ShutdownReport(101, {"requests": 1}, {}, (shutdown.CleanupResult("dbpool", 0.1),))
    own_memory.slot(worker.slot).write_shutdown_report(report.as_dict())
    shutdown.begin(15, 10)
    shutdown.stop()
    master_hooks.child_exit(server, worker)
    assert master_hooks.state.reports == [report]
    assert master_hooks.state.killed == 0


def test_pre_fork_worker_that_asks_to_be_replaced_gives_its_share_to_the_new_one(
    server: Any, own_memory: Memory
) -> None:
    youngest = [fork(server, pid) for pid in (101, 102, 103)][-1]
    own_memory.slot(youngest.slot).ask_for_replacement()
    assert fork(server, 104).slot % 3 == youngest.slot % 3
