"""The admin: everything can be seen, and nothing is changed past the managers."""

import re
import uuid
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.fleet import endpoint_manager, endpoint_tokens, roles, tokens
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
    RevisionSignature,
    Role,
    StatusCase,
    TargetRevision,
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


def logged_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def rows(db: None) -> None:
    """A row of every model."""
    operation = factories.queued()
    endpoint_manager.create_enrolment_code(actor="test", pool=operation.endpoint.pool)
    endpoint_tokens.allow_reenrolment(endpoint=factories.endpoint(), actor="test")
    revision = TargetRevision.objects.first()
    RevisionSignature.objects.create(
        revision=revision, document=b"d", signature=b"s", signed=timezone.now(), author="test"
    )
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


@pytest.mark.parametrize("path", ["/admin/", "/admin/fleet/pool/", "/admin/auth/user/", "/admin/login/"])
@pytest.mark.parametrize("role", [None, Role.VIEWER, Role.OPERATOR])
def test_admin_other_roles_are_told_that_it_is_for_administrators(role: Role | None, path: str, db: None) -> None:
    answer = logged_in(factories.account("ann", role)).get(path)
    assert answer.status_code == 403
    assert "Only administrators may open these pages." in answer.content.decode()


def test_admin_anonymous_is_sent_to_the_login(client: Client, db: None) -> None:
    assert client.get("/admin/fleet/pool/")["Location"] == "/admin/login/?next=/admin/fleet/pool/"
    assert client.get("/admin/login/").status_code == 200


@pytest.mark.parametrize("model", [*OURS, User, Group], ids=lambda model: model.__name__)
def test_admin_administrator_who_is_no_superuser_may_see_all(rows: None, model: Any) -> None:
    client = logged_in(factories.account("ann", Role.ADMINISTRATOR))
    place = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    assert client.get("/admin/").status_code == 200
    assert client.get(reverse(f"{place}_changelist")).status_code == 200
    assert client.get(reverse(f"{place}_change", args=[model.objects.first().pk])).status_code == 200


def test_admin_administrator_changes_pools_and_accounts(db: None) -> None:
    client = logged_in(factories.account("ann", Role.ADMINISTRATOR))
    assert client.post("/admin/fleet/pool/add/", {"name": "lab", **POLICY}).status_code == 302
    assert Pool.objects.exists()
    new = {"username": "bert", "password1": "quite-new-passphrase", "password2": "quite-new-passphrase"}
    assert client.post("/admin/auth/user/add/", {**new, "usable_password": "true"}).status_code == 302
    assert roles.role_of(User.objects.get(username="bert")) is None


def test_admin_staff_status_and_permissions_of_tables_don_t_replace_a_role(rows: None) -> None:
    """They open the admin, as Django has it; what they change is the fleet, which is for operators."""
    ann = factories.account("ann", Role.VIEWER, is_staff=True)
    ann.user_permissions.set(Permission.objects.filter(codename__in=["view_pool", "change_pool", "view_apitoken"]))
    pool, token = Pool.objects.get(), ApiToken.objects.get()
    change = f"/admin/fleet/pool/{pool.pk}/change/"
    revoke = {"action": "revoke", "_selected_action": [token.pk]}
    for role, status in ((Role.VIEWER, 403), (Role.OPERATOR, 302)):
        roles.give(user=ann, role=role, actor="test")
        client = logged_in(ann)
        assert client.get(change).status_code == 200
        assert client.post(change, {"name": pool.name, **POLICY}).status_code == status
        client.post("/admin/fleet/apitoken/", revoke)
        assert not ApiToken.objects.exclude(revoked=None).exists()


def test_account_deleted_with_its_tokens_which_are_dead_then(staff: Client) -> None:
    ann, bert = factories.account("ann", Role.VIEWER), factories.account("bert", Role.VIEWER)
    texts = [
        tokens.create_api_token(name=one.username, role="viewer", actor="test", owner=one)[1] for one in (ann, bert)
    ]
    assert staff.get(f"/admin/auth/user/{ann.pk}/delete/").status_code == 200
    staff.post(f"/admin/auth/user/{ann.pk}/delete/", {"post": "yes"})
    many = {"action": "delete_selected", "_selected_action": [bert.pk], "post": "yes"}
    staff.post("/admin/auth/user/", many)
    assert [user.username for user in User.objects.all()] == ["ada"]
    assert not any(tokens.authenticate_api_token(token=text) for text in texts)
    assert AuditEvent.objects.filter(verb="delete", object__startswith="token:").count() == 2


ACCOUNT = {
    "username": "bert",
    "date_joined_0": "2026-01-15",
    "date_joined_1": "10:30",
    "initial-date_joined_0": "2026-01-15",
    "initial-date_joined_1": "10:30",
}


def test_role_changed_in_the_admin_is_in_the_audit(staff: Client) -> None:
    bert = factories.account("bert", None)
    viewer, operator = (Group.objects.get(name=roles.GROUPS[role]).pk for role in (Role.VIEWER, Role.OPERATOR))
    steps: list[dict[str, Any]] = [
        {"is_active": "on", "groups": [viewer]},
        {"is_active": "on", "groups": [viewer], "first_name": "Bert"},
        {"is_active": "on", "groups": [viewer, operator]},
        {"groups": [viewer, operator]},
    ]
    for step in steps:
        assert staff.post(f"/admin/auth/user/{bert.pk}/change/", ACCOUNT | step).status_code == 302
    events = AuditEvent.objects.filter(verb="change_role", actor="user:ada").order_by("pk")
    assert {event.object for event in events} == {"user:bert"}
    changes = [(event.before["role"], event.after["role"]) for event in events]
    assert changes == [(None, "viewer"), ("viewer", "operator"), ("operator", None)]
    page = staff.get("/audit").content.decode()
    assert "gave bert the role operator" in page and "took the role of bert" in page


def test_list_of_accounts_has_their_roles(staff: Client) -> None:
    for role in Role:
        factories.account(role.value, role)
    page = staff.get("/admin/auth/user/").content.decode()
    assert re.findall(r'field-role">([^<]*)<', page) == ["administrator", "administrator", "operator", "viewer"]
