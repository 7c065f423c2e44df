"""How far an operation is: what is taken from an agent, for how long it is shown, and how pools add it up."""

from datetime import timedelta
from typing import Any

import pytest

from apps.fleet import progress, retries, sync_coordinator
from apps.fleet.exceptions import Invalid
from apps.fleet.models import Operation
from apps.fleet.progress import OperationProgress
from tests import factories
from tests.fleet.operations import come_due, expire

pytestmark = pytest.mark.django_db
DOWNLOADING: dict[str, Any] = {
    "phase": "downloading",
    "done": 12,
    "total": 40,
    "bytes_done": 3_000,
    "bytes_total": 4_000,
    "package": "linux",
    "hosts": ["https://mirror.example:443"],
}


def beat(operation: Operation, said: dict[str, Any] | None, phase: str = "leased") -> Operation:
    return sync_coordinator.heartbeat(
        operation_id=operation.pk,
        endpoint=operation.endpoint,
        lease_token=operation.lease_token,  # type: ignore[arg-type]
        phase=phase,
        progress=said,
    )


def test_progress_is_that_of_the_last_heartbeat() -> None:
    operation = factories.leased()
    assert progress.of(operation) is None
    far = progress.of(beat(operation, DOWNLOADING))
    assert far == OperationProgress(**DOWNLOADING | {"hosts": ("https://mirror.example:443",)})
    assert far.percent == 75
    applying = progress.of(beat(operation, {"phase": "applying", "done": 1, "total": 3}, "applying"))
    assert applying and (applying.phase, applying.percent) == ("applying", 33)
    assert progress.of(beat(operation, None, "applying")) is None  # an older agent took over


def test_heartbeat_from_before_pacman_began_that_comes_late_tells_nothing_and_extends_the_lease() -> None:
    operation = beat(factories.leased(), {"phase": "applying", "done": 10, "total": 40}, "applying")
    Operation.objects.filter(pk=operation.pk).update(lease_until=operation.lease_until - timedelta(seconds=60))
    late = beat(operation, {"phase": "downloading", "done": 1, "total": 40}, "leased")
    assert late.status == "applying" and late.lease_until and operation.lease_until
    far = progress.of(late)
    assert far and (far.phase, far.done) == ("applying", 10)
    assert late.lease_until > operation.lease_until - timedelta(seconds=30)


def test_progress_with_a_field_of_a_newer_server_is_shown_without_it() -> None:
    operation = beat(factories.leased(), DOWNLOADING)
    operation.progress = {**(operation.progress or {}), "speed": 3}
    far = progress.of(operation)
    assert far and far.phase == "downloading"


def test_phase_with_the_name_of_a_status_is_not_counted_as_that_status() -> None:
    pool = factories.pool("lab")
    factories.target(pool, "app 2-1")
    box = factories.reporting_endpoint(pool=pool, state=factories.state("app 1-1"))
    made = sync_coordinator.create_operation(endpoint=box, kind="sync", actor="test")[0]
    beat(factories.leased(made), DOWNLOADING | {"phase": "queued"})
    assert progress.phases([pool.pk]) == {pool.pk: {"preparing": 1}}


def test_progress_goes_with_the_end_and_with_the_lease() -> None:
    operation = beat(factories.leased(), DOWNLOADING)
    assert progress.heard(operation)
    retries.queue_later(operation, {"code": "mirror_failed"}, actor="test", state=operation.base_state_id)
    assert operation.status == "queued" and progress.of(operation) is None and progress.heard(operation) is None
    again = factories.leased(come_due(operation))
    assert progress.of(again) is None and again.progress is None
    done = factories.finish(beat(again, DOWNLOADING, "applying"))
    assert progress.of(done) is None


def test_progress_of_the_agent_before_is_not_that_of_the_next_one() -> None:
    operation = expire(beat(factories.leased(), DOWNLOADING))
    assert factories.claim(operation).operation.progress is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"phase": ""},
        {"phase": "x" * 31},
        {"phase": "two\nlines"},
        {"done": -1},
        {"total": 2**53},
        {"bytes_done": True},
        {"bytes_total": 1.5},
        {"package": "p" * 256},
        {"package": "nul\0"},
        {"hosts": ["h"] * 5},
        {"hosts": ["h" * 256]},
        {"hosts": 5},
        {"waiting": "w" * 501},
        {"more": 1},
    ],
)
def test_progress_that_makes_no_sense_is_refused_and_changes_nothing(wrong: dict[str, Any]) -> None:
    operation = factories.leased()
    before = Operation.objects.filter(pk=operation.pk).values().get()
    with pytest.raises(Invalid):
        beat(operation, DOWNLOADING | wrong, "applying")
    assert Operation.objects.filter(pk=operation.pk).values().get() == before


def test_phases_of_pools_are_counted_in_one_query(django_assert_num_queries: Any) -> None:
    pool = factories.pool("lab")
    factories.target(pool, "app 2-1")
    made = []
    for _ in range(5):
        box = factories.reporting_endpoint(pool=pool, state=factories.state("app 1-1"))
        made.append(sync_coordinator.create_operation(endpoint=box, kind="sync", actor="test")[0])
    beat(factories.leased(made[0]), DOWNLOADING)
    beat(factories.leased(made[1]), DOWNLOADING | {"done": 13})
    factories.applying(made[2])
    factories.leased(made[3])
    factories.queued()
    with django_assert_num_queries(1):
        found = progress.phases([pool.pk])
    assert found == {pool.pk: {"downloading": 2, "applying": 1, "preparing": 1, "queued": 1}}
    assert len(progress.phases()) == 2
