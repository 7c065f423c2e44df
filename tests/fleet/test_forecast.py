"""What a target would do to the machines of a pool: the same as each one's own sync goal says, counted."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from apps.fleet import forecast, goals, pool_manager, proposed, protection, sync_coordinator, time_limit
from apps.fleet.difference import ChangeKind
from apps.fleet.exceptions import DatabasesUnreadable, Invalid, NoTarget, NotFound, StateUnknown
from apps.fleet.forecast import CANNOT, Effect, Forecast
from apps.fleet.models import Endpoint, Operation, Pool
from apps.fleet.protection import ProtectedPackages
from demo import database
from demo.machines import Fleet
from tests import factories

pytestmark = pytest.mark.django_db


def seen(pool: Pool, reference: str = "") -> Forecast:
    pool = Pool.objects.select_related("target").get(pk=pool.pk)
    return forecast.of(pool, proposed.find(pool, reference))


def machines(found: Forecast) -> dict[Effect, list[str]]:
    """Those effects that there are."""
    return {effect: names for effect, names in found.machines.items() if names}


@pytest.fixture
def lab() -> Pool:
    """Target #1 is `app 2-1` and `lib 1-1`, which `good` has; `old` is behind, `new` ahead, `more` has `vim`, too."""
    pool = factories.pool("lab")
    good = factories.reporting_endpoint("good", pool=pool, state=factories.state("app 2-1", "lib 1-1"))
    pool_manager.set_target(pool=pool, endpoint=good, actor="test")
    for name, packages in {"old": ["app 1-1"], "new": ["app 3-1", "lib 1-1"], "more": ["app 2-1", "vim 1-1"]}.items():
        factories.reporting_endpoint(name, pool=pool, state=factories.state(*packages))
    return pool


def test_present_target_counts_what_each_machine_gets(lab: Pool) -> None:
    found = seen(lab)
    assert machines(found) == {
        Effect.CHANGES: ["more", "new", "old"],
        Effect.UNCHANGED: ["good"],
        Effect.DOWNGRADES: ["new"],
        Effect.REMOVALS: ["more"],
    }
    assert found.total == 4
    assert found.packages[Effect.REMOVALS] == {"vim": 1} and found.packages[Effect.DOWNGRADES] == {"app": 1}
    assert found.changes["old"] == {ChangeKind.UPGRADE: 1, ChangeKind.INSTALL: 1}


def test_first_target_from_an_endpoint_is_foretold(lab: Pool) -> None:
    Pool.objects.update(target=None)
    found = seen(lab, "endpoint:old")
    assert machines(found) == {
        Effect.CHANGES: ["good", "more", "new"],
        Effect.UNCHANGED: ["old"],
        Effect.DOWNGRADES: ["good", "more", "new"],
        Effect.REMOVALS: ["good", "more", "new"],
    }
    assert found.packages[Effect.REMOVALS] == {"lib": 2, "vim": 1}


def test_revision_of_another_pool_is_compared_by_this_pools_policy(lab: Pool) -> None:
    attic = factories.pool("attic", excluded_packages=["app"])
    factories.reporting_endpoint("there", pool=attic, state=factories.state("app 1-1", "lib 0-1"))
    found = seen(attic, "revision:lab/1")
    assert machines(found) == {Effect.CHANGES: ["there"], Effect.EXCLUDED: ["there"]}
    assert found.changes["there"] == {ChangeKind.UPGRADE: 1}
    assert found.packages[Effect.EXCLUDED] == {"app": 1}


def test_what_is_kept_is_counted_where_it_differs(lab: Pool) -> None:
    for name, options in {"holding": {"holds": ["app"]}, "same": {"holds": ["lib"]}}.items():
        made = factories.endpoint(name, pool=lab)
        factories.report(made, factories.state("app 1-1", "lib 1-1"), **options)  # type: ignore[arg-type]
    aur = factories.endpoint("aur", pool=lab)
    core = factories.reported_repository(factories.repository("app 2-1", "lib 1-1"))
    factories.report(aur, factories.state("app 2-1", "lib 1-1", "yay 1-1"), core)
    found = seen(lab)
    assert (found.machines[Effect.HELD], found.machines[Effect.FOREIGN]) == (["holding"], ["aur"])
    assert found.machines[Effect.UNCHANGED] == ["aur", "good", "holding"]
    assert found.packages[Effect.HELD] == {"app": 1} and found.packages[Effect.FOREIGN] == {"yay": 1}


def test_machines_that_cannot_be_synced_say_why(lab: Pool) -> None:
    factories.endpoint("silent", pool=lab)
    Endpoint.objects.filter(name="old").update(arch="aarch64")
    Endpoint.objects.filter(name="new").update(examination=[factories.problem("database_unreadable", "core")])
    made = factories.endpoint("stubborn", pool=lab)
    factories.report(made, factories.state("vim 1-1"), holds=["app", "lib"])
    found = machines(seen(lab))
    assert {effect: found[effect] for effect in CANNOT if effect in found} == {
        Effect.UNREPORTED: ["silent"],
        Effect.OTHER_ARCHITECTURE: ["old"],
        Effect.DATABASES_UNREADABLE: ["new"],
        Effect.NOTHING_LEFT: ["stubborn"],
    }
    assert found[Effect.CHANGES] == ["more"]


def test_machine_in_exactly_the_target_is_unchanged_whatever_it_says(lab: Pool) -> None:
    Endpoint.objects.filter(name="good").update(examination=[factories.problem("database_unreadable", "core")])
    assert seen(lab).machines[Effect.UNCHANGED] == ["good"]


def test_of_those_that_change_offline_busy_locked_out_and_refusing_are_told(lab: Pool) -> None:
    Endpoint.objects.filter(name="good").update(last_seen=None, token_hash=None)  # doesn't change: not counted
    Endpoint.objects.filter(name="old").update(last_seen=Now() - timedelta(days=1))
    sync_coordinator.create_operation(endpoint=Endpoint.objects.get(name="new"), kind="sync", actor="test")
    guarded = ProtectedPackages(role="editor", why="the last editor", names=["vim"], needs="one", instead=[])
    Endpoint.objects.filter(name="more").update(protected=[guarded], token_hash=None)
    found = seen(lab)
    wanted = (Effect.OFFLINE, Effect.ACTIVE, Effect.PROTECTED, Effect.LOCKED_OUT)
    assert [found.machines[effect] for effect in wanted] == [["old"], ["new"], ["more"], ["more"]]
    assert found.packages[Effect.PROTECTED] == {"vim": 1}


def test_what_the_policy_queued_gives_way_to_a_new_target_only(lab: Pool) -> None:
    sync_coordinator.create_operation(endpoint=Endpoint.objects.get(name="old"), kind="sync", actor="policy:lab")
    assert seen(lab).machines[Effect.ACTIVE] == ["old"]
    assert seen(lab, "endpoint:new").machines[Effect.ACTIVE] == []
    factories.applying(Operation.objects.get())
    assert seen(lab, "endpoint:new").machines[Effect.ACTIVE] == ["old"]


@pytest.mark.parametrize(
    ("resolution", "follow"), [("manual", ["old"]), ("newest", ["more", "old"]), ("oldest", ["more", "new", "old"])]
)
def test_automatic_sync_follows_as_its_policy_says(lab: Pool, resolution: str, follow: list[str]) -> None:
    pool_manager.change_pool(pool=lab, actor="test", auto_sync=True, conflict_resolution=resolution)
    good = Endpoint.objects.get(name="good")
    pool_manager.set_target(pool=lab, endpoint=good, actor="test", force=True)
    assert seen(lab).machines[Effect.FOLLOWS] == []  # it is the target already: that is no forecast
    # `more` lacks `lib` and has `vim`: diverged, with no package older or newer.
    assert seen(lab, "revision:lab/1").machines[Effect.FOLLOWS] == follow


def test_file_that_nobody_knows_is_told_but_for_machines_whose_databases_have_it(lab: Pool) -> None:
    lab.refresh_from_db()
    assert lab.target and seen(lab).machines[Effect.NO_FILE] == []
    source = factories.reporting_endpoint("blind", pool=lab, state=factories.state("app 4-1"), replaced=["app"])
    factories.report(source, factories.state("app 4-1"), factories.reported_repository(factories.repository("app 9-1")))
    pool_manager.set_target(pool=lab, endpoint=source, actor="test", force=True)
    knows = factories.endpoint("knows", pool=lab)
    factories.report(knows, factories.state("app 1-1"), factories.reported_repository(factories.repository("app 4-1")))
    found = seen(lab)
    assert found.machines[Effect.NO_FILE] == ["good", "more", "new", "old"]
    assert found.packages[Effect.NO_FILE] == {"app": 4}


def test_reference_that_makes_no_sense_is_refused(lab: Pool) -> None:
    empty, stray = factories.pool(), factories.reporting_endpoint("stray", state=factories.state())
    silent = factories.endpoint("silent", pool=lab)
    for pool, text, error in (
        (empty, "", NoTarget),
        (lab, f"endpoint:{stray.name}", NotFound),
        (lab, f"endpoint:{silent.name}", StateUnknown),
        (lab, "endpoint:none", NotFound),
        (lab, "revision:lab/9", NotFound),
        (lab, "revision:lab", NotFound),
        (lab, "state:abc", Invalid),
        (lab, "lab", Invalid),
    ):
        with pytest.raises(error):
            seen(pool, text)


def test_state_that_is_too_large_is_not_compared(lab: Pool, settings: Any) -> None:
    factories.reporting_endpoint("big", pool=lab, state=factories.state("app 2-1", "lib 1-1", "vim 1-1"))
    settings.STATE_MAX_PACKAGES = 2
    assert seen(lab).machines[Effect.NOT_COMPARED] == ["big"]


def test_no_time_left_says_so_instead_of_a_wrong_number(lab: Pool, settings: Any) -> None:
    pool = Pool.objects.select_related("target").get()
    what = proposed.find(pool, "")
    settings.COMPARISON_TIMEOUT = 1e-9
    time_limit.begin()
    try:
        found = forecast.of(pool, what)
    finally:
        time_limit.end()
    assert machines(found) == {Effect.NOT_COMPARED: ["good", "more", "new", "old"]}


def test_forecast_says_what_every_machines_own_goal_says() -> None:
    """A whole fleet of the demo, in states of their own, with held and foreign packages."""
    database.fill(Fleet(endpoints=60, pools=3, distinct=True), days=(-2,))
    guarded = ProtectedPackages(
        role="kernel", why="the last kernel", names=["linux", "vim", "git"], needs="each", instead=[]
    )
    Endpoint.objects.update(protected=[guarded])
    compared = 0
    for pool in Pool.objects.select_related("target"):
        if pool.target is None:
            continue
        found = seen(pool)
        for endpoint in Endpoint.objects.with_target().filter(pool=pool):
            effects = {effect for effect, names in found.machines.items() if endpoint.name in names}
            assert len(effects & {Effect.CHANGES, Effect.UNCHANGED, *CANNOT}) == 1
            try:
                goal = goals.sync_goal(endpoint)
            except (StateUnknown, DatabasesUnreadable):
                assert effects & set(CANNOT)
                continue
            kinds = Counter(change.kind for change in goal.changes)
            compared += 1
            assert dict(found.changes[endpoint.name]) == dict(kinds)
            assert (Effect.DOWNGRADES in effects) == bool(kinds[ChangeKind.DOWNGRADE])
            assert (Effect.REMOVALS in effects) == bool(kinds[ChangeKind.REMOVE])
            assert (Effect.PROTECTED in effects) == bool(kinds and protection.refused_by(endpoint, goal))
    assert compared > 30


def test_queries_do_not_grow_with_the_machines(lab: Pool) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            seen(lab)
        return len(queries)

    few = count()
    for number in range(20):
        factories.reporting_endpoint(pool=lab, state=factories.state(f"app 1-1.{number}"))
    assert count() <= few
