"""The instance registry on the database's clock."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db.models.functions import Now

from apps.lifecycle import registry, shutdown
from apps.lifecycle.models import PRUNE_AFTER, Instance, lost_after
from apps.lifecycle.shared_memory import instance, memory, phase
from apps.lifecycle.shared_memory.memory import Memory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_memory")]


def other(name: str, age: timedelta) -> Instance:
    row = Instance.objects.create(name=name, version="1", phase="serving")
    Instance.objects.filter(id=row.id).update(heartbeat=Now() - age)
    return row


def test_beat_makes_the_row_then_updates_it() -> None:
    phase.serve()
    registry.beat()
    memory.mine().publish((3, 2, 1, 0, 2, 10, 0, 0))
    shutdown.begin(15, 10)
    registry.beat()
    row = Instance.objects.get()
    assert (row.id, row.name, row.phase, row.workers) == (instance.identity(), instance.name(), "draining", 1)
    assert row.dbpool["size"] == 3 and row.dbpool["max_size"] == 10
    assert row.heartbeat >= row.started


def test_alive_lost_and_forgotten_by_age_of_the_heartbeat() -> None:
    fresh, lost = other("fresh", timedelta(0)), other("lost", lost_after() + timedelta(seconds=5))
    forgotten = other("forgotten", PRUNE_AFTER + timedelta(minutes=1))
    assert list(Instance.objects.alive()) == [fresh]
    assert set(Instance.objects.lost()) == {lost, forgotten}
    assert registry.prune() == 1
    assert set(Instance.objects.all()) == {fresh, lost}


def test_beat_new_instance_replaces_its_lost_namesake_only() -> None:
    other(instance.name(), lost_after() + timedelta(seconds=5))
    living = other(instance.name(), timedelta(0))
    stranger = other("stranger", lost_after() + timedelta(seconds=5))
    registry.beat()
    assert set(Instance.objects.values_list("id", flat=True)) == {instance.identity(), living.id, stranger.id}


def test_remove_only_the_last_worker_of_a_stopping_instance(
    own_memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "serving", SimpleNamespace(active=lambda: True))
    own_memory.slot(1).claim(2)
    own_memory.slot(1).accepting()
    registry.beat()
    memory.mine().begin_cleanup()
    registry.remove()
    assert Instance.objects.exists()  # it still serves: this worker is only replaced
    shutdown.begin(15, 10)
    shutdown.stop()
    registry.remove()
    assert Instance.objects.exists()  # the other worker is still at work
    own_memory.slot(1).begin_cleanup()
    registry.remove()
    assert not Instance.objects.exists()
    registry.beat()
    assert not Instance.objects.exists()  # a heartbeat that was under way doesn't bring it back


def test_remove_a_worker_that_still_loads_has_no_cleanup_of_its_own(
    own_memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "serving", SimpleNamespace(active=lambda: True))
    own_memory.slot(1).claim(2)
    registry.beat()
    memory.mine().begin_cleanup()
    shutdown.begin(15, 10)
    shutdown.stop()
    registry.remove()
    assert not Instance.objects.exists()
