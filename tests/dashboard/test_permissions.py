"""Who may see and who may act."""

import re
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import resolve

from apps.fleet import endpoint_manager, roles, sync_coordinator
from apps.fleet.models import ApiToken, AuditEvent, Pool, Role
from tests import factories
from tests.dashboard.pages import PAGES, PUBLIC, ROUTES, path_of

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "dashboard.md"
OWN_ACCOUNT = {"password_change", "second_factor"}
"""What every account may see and send: it is about the own account only."""
READ = {
    "overview",
    "pool",
    "analysis",
    "excluded",
    "preview",
    "revision",
    "revision_packages",
    "revision_document",
    "endpoints",
    "endpoint",
    "endpoint_packages",
    "timeline",
    "state",
    "packages",
    "package",
    "compare",
    "audit",
    "checksums",
    "vulnerabilities",
    "operations",
    "operation",
    "codes",
}
"""What every viewer may see."""
OWN = {"api_tokens", "revoke_api_token", *OWN_ACCOUNT}
"""Where a viewer may also change something: what is theirs."""
OPERATE = sorted(ROUTES.keys() - PUBLIC - READ - OWN)
"""Whatever else has an address is for operators."""
IN_DOCUMENT = {"name": "NAME", "pkgname": "NAME", "int": "N", "digest": "DIGEST", "uuid": "ID"}
FORM = {"name": "other", "uses": 1, "valid_for": 3600}


@pytest.fixture
def fleet(db: None) -> Pool:
    """Pool `lab` with target #1 and the endpoint `box`, which is behind and has a queued operation.

    There are an enrolment code and an API token, too.
    """
    pool = factories.pool("lab")
    endpoint = factories.reporting_endpoint("box", pool=pool, state=factories.state("app 1-1"))
    factories.target(pool, "app 2-1")
    factories.target(factories.pool("other"), "app 1-1")
    sync_coordinator.create_operation(endpoint=endpoint, kind="sync", actor="test")
    endpoint_manager.create_enrolment_code(actor="test")
    ApiToken.objects.create(name="mine", token_hash="m", role="viewer")
    return pool


def client_of(role: Role | None) -> tuple[Client, User]:
    """A browser where somebody with this role is logged in, to whom the token `mine` belongs, and their account."""
    client = Client()
    ann = factories.account("ann", role)
    ApiToken.objects.update(owner=ann)
    client.force_login(ann)
    return client, ann


@pytest.mark.parametrize("name", PAGES)
def test_page_anonymous_is_sent_to_login(client: Client, fleet: Pool, name: str) -> None:
    answer = client.get(path_of(name))
    assert (answer.status_code, answer["Location"]) == (302, f"/login?next={path_of(name)}")


@pytest.mark.parametrize("name", [name for name in PAGES if name not in OWN_ACCOUNT])
def test_page_with_every_role_403_where_it_is_not_enough(fleet: Pool, name: str) -> None:
    """Where GET would be a change, it is a 405 for whoever may make it; some choices with one answer go on to it."""
    client, ann = client_of(None)
    for role in (None, *Role):
        roles.give(user=ann, role=role, actor="test")
        answer = client.get(path_of(name))
        page = answer.content.decode()
        if role is None:
            assert answer.status_code == 403
            assert "Your account has no role yet" in page and 'action="/logout"' in page
        elif role == Role.VIEWER and name in OPERATE:
            assert answer.status_code == 403
            assert "Your account has the role viewer; this needs the role operator." in page
        else:
            assert answer.status_code in ({200} if name in READ | OWN else {200, 302, 405}), role


@pytest.mark.parametrize("name", [name for name in PAGES if name not in OWN_ACCOUNT])
def test_action_without_a_role_changes_nothing(fleet: Pool, name: str) -> None:
    client, _ = client_of(None)
    before = AuditEvent.objects.count()
    assert client.post(path_of(name), FORM).status_code == 403
    assert AuditEvent.objects.count() == before


@pytest.mark.parametrize("name", sorted(OWN_ACCOUNT))
def test_page_about_the_own_account_needs_no_role(fleet: Pool, name: str) -> None:
    assert client_of(None)[0].get(path_of(name)).status_code == 200


@pytest.mark.parametrize("name", sorted(READ | OWN))
def test_page_offers_a_viewer_nothing_that_is_for_operators(fleet: Pool, name: str) -> None:
    page = client_of(Role.VIEWER)[0].get(path_of(name)).content.decode()
    found = re.findall(r'(?:action|href)="(/[^"?#]*)', page)
    names = {resolve(path).url_name for path in found if not path.startswith(("/static", "/api", "/health", "/agent"))}
    assert names & {*OPERATE, "index"} == set()


@pytest.mark.parametrize("name", [name for name in PAGES if name not in OWN])
def test_action_reader_changes_nothing(reader: Client, fleet: Pool, name: str) -> None:
    before = AuditEvent.objects.count()
    answer = reader.post(path_of(name), FORM)
    assert answer.status_code == 403 or (name in READ and answer.status_code == 405)
    assert AuditEvent.objects.count() == before


@pytest.mark.parametrize("name", PAGES)
def test_action_anonymous_changes_nothing(client: Client, fleet: Pool, name: str) -> None:
    before = AuditEvent.objects.count()
    assert client.post(path_of(name), FORM).status_code == 302
    assert AuditEvent.objects.count() == before


@pytest.mark.parametrize("name", sorted(ROUTES))
def test_action_without_csrf_token_is_refused(fleet: Pool, name: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("ada"))
    before = AuditEvent.objects.count()
    answer = client.post(path_of(name))
    assert answer.status_code == 403
    assert "This form was not sent from this site" in answer.content.decode()
    assert AuditEvent.objects.count() == before


@pytest.mark.parametrize("name", sorted(READ | {"api_tokens"}))
def test_page_has_a_row_in_the_document(name: str) -> None:
    page = "/" + re.sub(r"<(\w+):\w+>", lambda found: IN_DOCUMENT[found[1]], ROUTES[name])
    rows = [row.split("|")[1] for row in DOCUMENT.read_text().splitlines() if row.startswith("| `/")]
    assert any(f"`{page}`" in row for row in rows), page


def test_action_from_another_origin_names_the_one_that_was_expected(fleet: Pool, settings: Any) -> None:
    settings.CSRF_TRUSTED_ORIGINS = ["https://pacsync.example"]
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("ada"))
    origin = {"Origin": "https://proxy.example:8443"}
    page = client.post("/endpoints/box/sync", headers=origin).content.decode()
    assert "sent the form from <code>https://proxy.example:8443</code>" in page
    assert "expected <code>http://testserver</code> or <code>https://pacsync.example</code>" in page
    assert "too old" not in page
    same = client.post("/endpoints/box/sync", headers={"Origin": "http://testserver"}).content.decode()
    assert "too old" in same and "CSRF_TRUSTED_ORIGINS" not in same


@pytest.mark.parametrize(
    "path", ["/endpoints/box/pool", "/endpoints/box/sync", "/pools/lab/revisions/1/go-back", "/logout"]
)
def test_action_by_get_is_405(staff: Client, fleet: Pool, path: str) -> None:
    assert staff.get(path).status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        "/pools/none",
        "/pools/lab%00",
        "/pools/lab%0A",
        "/pools/..",
        "/pools/%E2%9C%93",
        f"/pools/{'x' * 64}",
        "/pools/lab/revisions/99",
        "/pools/lab/revisions/99999999999999999999",
        "/pools/lab/target/none",
        "/endpoints/none",
        f"/operations/{uuid.UUID(int=1)}",
        "/operations/none",
        "/nothing",
    ],
)
def test_page_unknown_is_404(staff: Client, fleet: Pool, path: str) -> None:
    answer = staff.get(path)
    assert answer.status_code == 404
    assert "There is nothing at this address" in answer.content.decode()


@pytest.mark.parametrize(
    "query", ["page=0", "page=-1", "page=x", "page=99999999999999999999", "status=x", "q=%00", "pool=%00x"]
)
@pytest.mark.parametrize(
    "path", ["/", "/endpoints", "/operations", "/enrol", "/tokens", "/pools/lab", "/pools/lab/target"]
)
def test_page_senseless_query_is_answered(staff: Client, fleet: Pool, path: str, query: str) -> None:
    assert staff.get(f"{path}?{query}").status_code == 200


@pytest.mark.parametrize(("wanted", "shown"), [("0", 1), ("-1", 1), ("x", 1), ("99", 2)])
def test_page_out_of_range_is_the_nearest_one(staff: Client, wanted: str, shown: int) -> None:
    for number in range(60):
        factories.endpoint(f"m{number}")
    assert staff.get(f"/endpoints?page={wanted}").context["page"].number == shown


def test_page_is_never_cached(staff: Client, fleet: Pool) -> None:
    assert "no-store" in staff.get("/")["Cache-Control"]
