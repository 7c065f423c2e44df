"""Before something is done: previews by machine, excluded packages, and one action for many endpoints."""

from typing import Any

import pytest

from apps.fleet.models import AuditEvent, Endpoint, Operation, Pool
from tests import factories
from tests.api.support import Api

pytestmark = pytest.mark.django_db


@pytest.fixture
def lab() -> Pool:
    return factories.unlike_machines()


def test_preview_counts_machines_and_lists_them(viewer: Api, lab: Pool) -> None:
    body = viewer.get("/pools/lab/preview").ok()
    assert (body["pool"], body["of"], body["endpoints"], body["changing"]) == ("lab", "revision:lab/1", 4, 3)
    effects = {one["effect"]: one for one in body["effects"]}
    assert effects.keys() == {"changes", "unchanged", "downgrades", "removals"}
    assert effects["removals"]["names"] == ["more"]
    assert effects["removals"]["packages"] == [{"name": "vim", "endpoints": 1}]
    first = viewer.get("/pools/lab/preview/endpoints?effect=changes&limit=2").ok()
    assert [one["name"] for one in first["items"]] == ["more", "new"]
    assert first["items"][1]["changes"]["downgrade"] == 1
    rest = viewer.get(f"/pools/lab/preview/endpoints?effect=changes&limit=2&cursor={first['next']}").ok()
    assert ([one["name"] for one in rest["items"]], rest["next"]) == (["old"], None)


def test_preview_of_another_target(viewer: Api, lab: Pool) -> None:
    assert viewer.get("/pools/lab/preview?of=endpoint:old").ok()["changing"] == 3
    factories.pool("bare")
    assert viewer.get("/pools/bare/preview?of=revision:lab/1").ok()["endpoints"] == 0
    viewer.get("/pools/bare/preview").refused(409, "no_target")
    viewer.get("/pools/lab/preview?of=revision:lab/9").refused(404, "not_found")
    viewer.get("/pools/lab/preview?of=endpoint:none").refused(404, "not_found")
    viewer.get("/pools/lab/preview?of=state:1").refused(422, "invalid_request")
    viewer.get("/pools/lab/preview/endpoints?effect=none").refused(422, "invalid_request")


def test_preview_names_queued_syncs_that_go_or_stay_with_the_change(viewer: Api, operator: Api, lab: Pool) -> None:
    none = {"endpoints": 0, "names": []}
    operator.post("/operations", {"kind": "sync", "endpoint": "old"}).ok(201)
    operator.post("/pools/lab/targets", {"endpoint": "new"}).ok(201)

    def syncs(of: str) -> tuple[object, object]:
        body = viewer.get(f"/pools/lab/preview?of={of}").ok()
        return body["cancelled_syncs"], body["staying_syncs"]

    old = {"endpoints": 1, "names": ["old"]}
    assert syncs("revision:lab/1") == (old, none)
    assert syncs("revision:lab/2") == syncs("") == syncs("endpoint:more") == (none, old)
    operator.post("/pools/lab/go-back", {"number": 1}).ok(201)
    assert Operation.objects.get().status == "cancelled"
    assert syncs("revision:lab/2") == (none, none)


def test_target_that_was_previewed_is_the_one_that_is_set(operator: Api, viewer: Api, lab: Pool) -> None:
    shown = viewer.get("/pools/lab/preview?of=endpoint:old").ok()["digest"]
    body = {"endpoint": "old", "expected_digest": shown}
    old = Endpoint.objects.get(name="old")
    factories.report(old, factories.state("app 1-2"))
    operator.post("/pools/lab/targets", body).refused(409, "source_changed")
    operator.post("/pools/lab/targets", body | {"expected_digest": "x"}).refused(422, "invalid_request")
    assert lab.revisions.count() == 1
    factories.report(old, factories.state("app 1-1"))
    assert operator.post("/pools/lab/targets", body).ok(201)["digest"] == shown
    assert viewer.get("/pools/lab/preview").ok()["digest"] == shown


def test_pool_is_not_promoted_to_itself(operator: Api, lab: Pool) -> None:
    lab.revisions.update(approved=False)
    operator.post("/pools/lab/promote", {"source": "lab"}).refused(409, "conflict")
    assert lab.revisions.get().approved is False


def test_exclusions_say_what_matches_and_refuse_what_makes_no_sense(operator: Api, viewer: Api, lab: Pool) -> None:
    operator.patch("/pools/lab", {"excluded_packages": ["*"]}).refused(422, "invalid_pattern")
    operator.post("/pools", {"name": "x", "excluded_packages": ["linux["]}).refused(422, "invalid_pattern")
    operator.patch("/pools/lab", {"excluded_packages": ["v*"]}).ok()
    assert viewer.get("/pools/lab/exclusions").ok()["items"] == [
        {"pattern": "v*", "in_target": [], "left_out": [], "on_endpoints": [{"name": "vim", "endpoints": 1}]}
    ]
    (tried,) = viewer.get("/pools/lab/exclusions?pattern=app").ok()["items"]
    assert (tried["in_target"], tried["on_endpoints"]) == (["app"], [{"name": "app", "endpoints": 4}])
    viewer.get("/pools/lab/exclusions?pattern=**").refused(422, "invalid_pattern")


def test_promote_of_another_target_than_was_seen_is_refused(operator: Api, lab: Pool) -> None:
    factories.pool("prod")
    operator.post("/pools/prod/promote", {"source": "lab", "expected_source": 2}).refused(409, "target_changed")
    assert operator.post("/pools/prod/promote", {"source": "lab", "expected_source": 1}).ok(201)["number"] == 1


def test_many_dry_run_says_the_same_and_does_nothing(operator: Api, lab: Pool) -> None:
    wanted = {"action": "sync", "endpoints": ["old", "good", "none"]}
    events = AuditEvent.objects.count()
    dry = operator.post("/endpoint-actions", wanted | {"dry_run": True}).ok()
    assert (dry["done"], AuditEvent.objects.count(), Operation.objects.count()) == (1, events, 0)
    done = operator.post("/endpoint-actions", wanted).ok()
    assert [(one["endpoint"], one["done"], one["code"]) for one in done["items"]] == [
        ("old", True, None),
        ("good", False, "already_in_sync"),
        ("none", False, "not_found"),
    ]
    assert [one["code"] for one in dry["items"]] == [one["code"] for one in done["items"]]
    assert str(Operation.objects.get().pk) == done["items"][0]["operation"]


def test_many_moves_cancels_and_forgets(operator: Api, lab: Pool) -> None:
    factories.pool("attic")
    names = ["old", "new"]
    assert operator.post("/endpoint-actions", {"action": "move", "endpoints": names, "pool": "attic"}).ok()["done"] == 2
    assert operator.post("/endpoint-actions", {"action": "cancel", "endpoints": names}).ok()["done"] == 0
    assert operator.post("/endpoint-actions", {"action": "forget", "endpoints": names}).ok()["done"] == 2
    assert set(Endpoint.objects.values_list("name", flat=True)) == {"good", "more"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"action": "none"},
        {"endpoints": []},
        {"endpoints": ["old", "old"]},
        {"endpoints": [f"m{number}" for number in range(201)]},
        {"action": "forget", "pool": "lab"},
        {"dry_run": "yes"},
    ],
)
def test_many_that_makes_no_sense_changes_nothing(operator: Api, lab: Pool, wrong: dict[str, Any]) -> None:
    body = {"action": "move", "endpoints": ["old"]} | wrong
    operator.post("/endpoint-actions", body).refused(422, "invalid_request")
    assert Endpoint.objects.filter(pool=lab).count() == 4


def test_many_needs_an_operator_and_a_pool_that_is_there(operator: Api, viewer: Api, lab: Pool) -> None:
    body = {"action": "move", "endpoints": ["old"], "pool": "none"}
    viewer.post("/endpoint-actions", body).refused(403, "forbidden")
    operator.post("/endpoint-actions", body).refused(404, "not_found")
