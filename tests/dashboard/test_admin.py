"""The admin: everything can be seen, and nothing is changed past the managers."""

import uuid
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.fleet import endpoint_manager
from apps.fleet.models import (
    ApiToken,
    AuditEvent,
    ChecksumConflict,
    Endpoint,
    EnrolmentCode,
    IndexSegment,
    OfflinePeriod,
    Operation,
    Pool,
    Posting,
    StatusCase,
    Upload,
)
from apps.lifecycle.models import Instance
from apps.vulnerabilities.models import ONLY, Advisory, AdvisoryPackage, StateVulnerabilities, TrackerList
from tests import factories
from tests.dashboard.messages import said

OUR_APPS = ("fleet", "lifecycle", "vulnerabilities")
OURS = sorted(
    (model for model in admin.site._registry if model._meta.app_label in OUR_APPS),
    key=lambda model: model.__name__,
)
CHANGEABLE = {"Pool": {"add", "change", "delete"}, "Endpoint": {"change", "delete"}, "EnrolmentCode": {"delete"}}
POLICY = {"conflict_resolution": "manual", "retention": 5, "excluded_packages": '["linux"]'}


@pytest.fixture
def rows(db: None) -> None:
    """A row of every model."""
    operation = factories.queued()
    endpoint_manager.create_enrolment_code(actor="test", pool=operation.endpoint.pool)
    ChecksumConflict.objects.create(name="app", version="1-1", arch="any", files=[])
    Upload.objects.create(endpoint=operation.endpoint, digest="a" * 64, size=1)
    OfflinePeriod.objects.create(endpoint=operation.endpoint, since=timezone.now())
    IndexSegment.objects.create(states=1)
    Posting.objects.create(version=1, segment=1, bits=b"1")
    ApiToken.objects.create(name="ci", token_hash="c" * 64, role="viewer")
    Instance.objects.create(name="one", version="1", phase="serving")
    StatusCase.objects.create(
        key="k", revision=1, state="s", holds=[], foreign=[], excluded=[], package_limit=1, verdict="behind", kinds={}
    )
    TrackerList.objects.create(pk=ONLY)
    advisory = Advisory.objects.create(name="AVG-1", severity=4, status="Vulnerable")
    AdvisoryPackage.objects.create(advisory=advisory, package="app")
    state = factories.state("app 1-1")
    StateVulnerabilities.objects.create(state=state, generation=1, worst=4, versions=b"")


def test_every_model_of_ours_is_registered(db: None) -> None:
    from django.apps import apps

    models = {model for label in OUR_APPS for model in apps.get_app_config(label).get_models()}
    assert models == set(OURS)


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_model_list_search_and_page_are_shown(staff: Client, rows: None, model: Any) -> None:
    place = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    assert model.objects.exists()
    answer = staff.get(reverse(f"{place}_changelist"))
    assert answer.status_code == 200
    assert answer.context["cl"].result_count >= 1
    assert staff.get(reverse(f"{place}_changelist"), {"q": "a"}).status_code == 200
    assert staff.get(reverse(f"{place}_change", args=[model.objects.first().pk])).status_code == 200


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_model_can_be_changed_only_where_a_manager_does_it(staff: Client, rows: None, model: Any) -> None:
    place, row = f"admin:{model._meta.app_label}_{model._meta.model_name}", model.objects.first()
    answers = {
        "add": staff.get(reverse(f"{place}_add")).status_code,
        "change": staff.post(reverse(f"{place}_change", args=[row.pk]), {}).status_code,
        "delete": staff.get(reverse(f"{place}_delete", args=[row.pk])).status_code,
    }
    allowed = {action for action, status in answers.items() if status != 403}
    assert allowed == CHANGEABLE.get(model.__name__, set())


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_model_page_shows_no_secret(staff: Client, rows: None, model: Any) -> None:
    Operation.objects.update(status="leased", lease_token=uuid.UUID(int=7), lease_until=timezone.now())
    row = model.objects.first()
    place = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    pages = [staff.get(reverse(f"{place}_changelist")), staff.get(reverse(f"{place}_change", args=[row.pk]))]
    for page in pages:
        text = page.content.decode()
        assert str(uuid.UUID(int=7)) not in text
        for name in ("token_hash", "code_hash"):
            value = getattr(row, name, None)
            assert value is None or value not in text


def test_pool_added_through_the_manager(staff: Client) -> None:
    answer = staff.post("/admin/fleet/pool/add/", {"name": "lab", **POLICY})
    assert answer.status_code == 302
    assert Pool.objects.get().excluded_packages == ["linux"]
    assert AuditEvent.objects.get(verb="create").actor == "user:ada"


@pytest.mark.parametrize(
    "wrong", [{"retention": 10**6}, {"excluded_packages": '{"a": 1}'}, {"excluded_packages": "[1]"}]
)
def test_pool_that_the_manager_refuses_is_not_added(staff: Client, wrong: dict[str, Any]) -> None:
    answer = staff.post("/admin/fleet/pool/add/", {"name": "lab", **POLICY, **wrong})
    assert answer.status_code == 302
    assert said(answer)
    assert not Pool.objects.exists()


def test_pool_changed_through_the_manager(staff: Client) -> None:
    pool = factories.pool("lab", retention=5)
    staff.post(f"/admin/fleet/pool/{pool.pk}/change/", {"name": "lab", **POLICY, "retention": 9})
    event = AuditEvent.objects.get(verb="change")
    assert (event.actor, event.before["retention"], event.after["retention"]) == ("user:ada", 5, 9)


def test_pool_with_endpoints_not_deleted_in_any_way(staff: Client) -> None:
    pool = factories.pool("lab")
    factories.endpoint(pool=pool)
    one = staff.post(f"/admin/fleet/pool/{pool.pk}/delete/", {"post": "yes"})
    many = staff.post("/admin/fleet/pool/", {"action": "delete_selected", "_selected_action": [pool.pk], "post": "yes"})
    assert "Endpoints are assigned" in said(one) and "Endpoints are assigned" in said(many)
    assert Pool.objects.exists()


def test_pool_empty_deleted_with_audit(staff: Client) -> None:
    pool = factories.pool("lab")
    staff.post(f"/admin/fleet/pool/{pool.pk}/delete/", {"post": "yes"})
    assert not Pool.objects.exists()
    assert AuditEvent.objects.filter(verb="delete", actor="user:ada").exists()


def test_endpoint_right_given_through_the_manager(staff: Client) -> None:
    endpoint = factories.endpoint("box")
    staff.post(f"/admin/fleet/endpoint/{endpoint.pk}/change/", {"may_set_targets": "on"})
    endpoint.refresh_from_db()
    assert endpoint.may_set_targets
    assert AuditEvent.objects.filter(verb="change_rights", actor="user:ada").exists()


def test_endpoint_assigned_through_the_manager(staff: Client) -> None:
    pool, endpoint = factories.pool("lab"), factories.endpoint("box")
    staff.post(f"/admin/fleet/endpoint/{endpoint.pk}/change/", {"pool": pool.pk, "name": "other", "arch": "arm"})
    endpoint.refresh_from_db()
    assert (endpoint.name, endpoint.arch, endpoint.pool) == ("box", "x86_64", pool)
    assert AuditEvent.objects.filter(verb="assign", actor="user:ada").exists()


def test_endpoint_with_leased_operation_not_deleted(staff: Client) -> None:
    operation = factories.leased()
    answer = staff.post(f"/admin/fleet/endpoint/{operation.endpoint.pk}/delete/", {"post": "yes"})
    assert said(answer)
    assert Endpoint.objects.filter(pk=operation.endpoint.pk).exists()


def test_enrolment_code_deleted_with_audit(staff: Client) -> None:
    code, _ = endpoint_manager.create_enrolment_code(actor="test")
    staff.post(f"/admin/fleet/enrolmentcode/{code.pk}/delete/", {"post": "yes"})
    assert not EnrolmentCode.objects.exists()
    assert AuditEvent.objects.filter(verb="delete", actor="user:ada").exists()


def test_api_token_revoked_once(staff: Client) -> None:
    token = ApiToken.objects.create(name="ci", token_hash="c" * 64, role="operator")
    for _ in range(2):
        staff.post("/admin/fleet/apitoken/", {"action": "revoke", "_selected_action": [token.pk]})
    token.refresh_from_db()
    assert token.revoked is not None
    assert AuditEvent.objects.filter(verb="revoke").count() == 1


def test_admin_reader_is_not_let_in(reader: Client) -> None:
    assert reader.get("/admin/fleet/pool/").status_code == 302
