"""A fleet of the demo in the database: batches write what the functions of the fleet would have written."""

import re
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from django.db.models import Count

from apps.agent.pacsync_agent.examination import file_conflicts
from apps.agent.pacsync_agent.pacman.configuration import PacmanConf, SigLevel
from apps.agent.pacsync_agent.pacman.execution import Run
from apps.fleet import difference, endpoint_manager, reports, states, status
from apps.fleet.alpm import state as state_text
from apps.fleet.exceptions import NameTaken
from apps.fleet.models import AuditEvent, Endpoint, EndpointState, Operation, OperationStatus, Pool, State
from apps.fleet.reports import ReportedRepository
from apps.fleet.status import EndpointStatus
from demo import database, failures, past
from demo.machines import KINDS, Fare, Fleet

pytestmark = pytest.mark.django_db
DAYS = (-6, -2)


def reported(endpoint: Endpoint) -> list[ReportedRepository]:
    return [
        ReportedRepository(name=one.name, digest=one.content_id, mirrors=tuple(one.mirrors))
        for one in endpoint.repositories.all()
    ]


def test_fill_writes_states_and_foreign_packages_as_reports_do() -> None:
    database.fill(Fleet(endpoints=30, pools=4), days=DAYS, with_story=False)
    for row in State.objects.all():
        packages = states.load(row)
        assert state_text.digest_of(state_text.to_text(packages)) == row.digest
        assert len(packages) == row.package_count
    for endpoint in Endpoint.objects.exclude(state=None):
        assert reports.foreign(endpoint) == endpoint.foreign, endpoint.name


def test_fill_leaves_no_state_for_the_index_of_packages() -> None:
    database.fill(Fleet(endpoints=30, pools=4), days=DAYS, with_story=False)
    used = State.objects.filter(pk__in=Endpoint.objects.exclude(state=None).values("state"))
    assert used.exists() and not used.filter(segment=None).exists()


def test_fill_a_check_in_that_says_the_same_changes_nothing() -> None:
    database.fill(Fleet(endpoints=20, pools=2), days=DAYS, with_story=False)
    entries = EndpointState.objects.count()
    for endpoint in Endpoint.objects.with_target().exclude(state=None):
        done = endpoint_manager.check_in(
            endpoint=endpoint,
            seq=endpoint.report_seq + 1,
            state=str(endpoint.state_id),
            repositories=reported(endpoint),
            holds=endpoint.holds,
            agent_version=endpoint.agent_version,
            examination=endpoint.examination,
        )
        assert (done.recorded, done.want) == (True, ())
    assert EndpointState.objects.count() == entries


def test_fill_history_ends_with_the_present_state_and_operations_lead_from_one_to_the_next() -> None:
    database.fill(Fleet(endpoints=30, pools=4), days=(-11, *DAYS), with_story=False)
    for endpoint in Endpoint.objects.exclude(state=None):
        history = list(endpoint.history.order_by("seq"))
        assert history[-1].state_id == endpoint.state_id
        assert [one.at for one in history] == sorted(one.at for one in history)
        for operation in Operation.objects.filter(endpoint=endpoint, status=OperationStatus.SUCCEEDED):
            base, target = states.load(operation.base_state), states.load(operation.target_state)
            assert difference.counts(difference.compare(base, target)) == operation.plan
            assert operation.created < operation.applying_since < operation.finished  # type: ignore[operator]
            assert operation.revision and operation.revision.created < operation.created


def test_fill_with_its_story_shows_every_status_and_every_end_of_an_operation() -> None:
    seeded = database.fill(days=DAYS)
    assert len(seeded) == Endpoint.objects.count() == 200
    assert len({one.token for one in seeded}) == 200
    assert set(Counter(str(one) for one in status.of(list(Endpoint.objects.with_target())).values())) == set(
        EndpointStatus
    )
    assert set(Operation.objects.values_list("status", flat=True)) == set(OperationStatus)
    assert Pool.objects.count() == len(KINDS)
    assert AuditEvent.objects.filter(verb="revoke_token").exists()
    failed = [one.result or {} for one in Operation.objects.filter(status=OperationStatus.FAILED)]
    assert all(one["code"] and one["message"] and one["hint"] for one in failed) and len(failed) >= 2
    _check_failures_are_about_packages_of_their_own_operation()
    assert len(_versions_of("openssl")) == 3


def _check_failures_are_about_packages_of_their_own_operation() -> None:
    codes = set()
    for operation in Operation.objects.filter(status=OperationStatus.FAILED):
        result = operation.result or {}
        changes = difference.compare(states.load(operation.base_state), states.load(operation.target_state))
        brought = {f"{one.name} {one.after.version}" for one in changes if one.after}
        if result["code"] == "package_unavailable":
            first, _, rest = result["message"].partition(" can't be had: ")
            others = rest.partition(" Nor can ")[2].rstrip(".")
            assert {first, *filter(None, others.split(", "))} <= brought
        else:
            assert re.search(r"in its way: (\S+): ", result["message"])[1] in {one.name for one in changes}  # type: ignore[index]
        codes.add(result["code"])
    assert codes == {"package_unavailable", "file_conflict"}


def _versions_of(name: str) -> set[str]:
    """Those that machines have."""
    used = State.objects.filter(pk__in=Endpoint.objects.exclude(state=None).values("state"))
    return {one.version for row in used for one in states.load(row) if one.name == name}


def test_file_conflict_is_told_in_the_agents_own_words(tmp_path: Path) -> None:
    said = failures.file_conflict([("bash", "5.3-1"), ("gnome-shell", "49-1")], like="gnome-shell")
    (tmp_path / "local").mkdir()
    never = SigLevel(required=False, never=True, trust_all=False)
    conf = PacmanConf(tmp_path, tmp_path, tmp_path, (), (), (), (), (), 1, never, (), ())
    error = file_conflicts.failure(Run(1, said["log_tail"]), conf, (), ())
    assert (error.code, error.message, error.hint) == (said["code"], said["message"], said["hint"])


def test_fill_is_the_same_fleet_each_time() -> None:
    assert list(Fleet().machines()) == list(Fleet().machines())
    assert {one.fare for one in Fleet().machines()} == set(Fare)


@pytest.mark.parametrize(("endpoints", "pools"), [(10, 8), (37, 3), (300, 20), (60, 500)])
def test_machines_are_as_many_as_asked_for_in_as_many_pools(endpoints: int, pools: int) -> None:
    fleet = Fleet(endpoints=endpoints, pools=pools)
    machines = list(fleet.machines())
    assert len(machines) == len({one.name for one in machines}) == endpoints
    assert len({name for name, _ in fleet.pool_plans()}) == pools
    assert {one.pool for one in machines} <= {None, *(name for name, _ in fleet.pool_plans())}


def test_fill_takes_a_fleet_that_is_too_small_for_its_story() -> None:
    database.fill(Fleet(endpoints=10), days=DAYS)
    assert Endpoint.objects.count() == 10


def test_fill_distinct_no_two_machines_have_the_same_packages() -> None:
    database.fill(Fleet(endpoints=12, pools=2, distinct=True, every_package=True), days=(-2,), with_story=False)
    shared = Endpoint.objects.exclude(state=None).values("state").annotate(count=Count("pk")).filter(count__gt=1)
    assert not shared.exclude(foreign=[]).exists()  # the sources of targets have nothing of their own
    assert min(State.objects.values_list("package_count", flat=True)) >= 1500


def test_fill_into_a_database_with_a_fleet_is_refused_and_writes_nothing() -> None:
    database.fill(Fleet(endpoints=6, pools=2), days=DAYS, with_story=False)
    before = (Pool.objects.count(), Endpoint.objects.count(), AuditEvent.objects.count())
    with pytest.raises(NameTaken):
        database.fill(Fleet(endpoints=6, pools=2), days=DAYS, with_story=False)
    assert (Pool.objects.count(), Endpoint.objects.count(), AuditEvent.objects.count()) == before


def test_past_spans_stay_what_they_are() -> None:
    database.fill(Fleet(endpoints=24, pools=2), days=DAYS)
    leased = Operation.objects.filter(status=OperationStatus.LEASED).get()
    span = timedelta(days=3, hours=2)
    past.move(span)
    moved = Operation.objects.get(pk=leased.pk)
    assert leased.created - moved.created == span
    assert leased.lease_until and moved.lease_until and leased.lease_until - moved.lease_until == span
    assert moved.deadline - moved.created == leased.deadline - leased.created
