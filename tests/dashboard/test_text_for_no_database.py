"""Text that PostgreSQL doesn't take, in every field and parameter of the pages: never a 500."""

import pytest
from django.test import Client

from tests import factories

pytestmark = pytest.mark.django_db
NUL = "a\0b"
WORDS = (
    "q name pool pools status sort package version older_than newer_than agent seen_before since until "
    "actor verb kind page endpoint result reason repository from to of try machines effect changes "
    "attention object state missing"
)
PAGES = [
    "/",
    "/pools/lab",
    "/pools/lab/target",
    "/pools/lab/promote",
    "/pools/lab/preview",
    "/pools/lab/excluded",
    "/pools/lab/revisions/1",
    "/pools/lab/revisions/1/packages",
    "/endpoints",
    "/endpoints/box",
    "/endpoints/box/packages",
    "/endpoints/box/timeline",
    "/operations",
    "/packages",
    "/packages/app",
    "/compare",
    "/audit",
    "/enrol",
    "/tokens",
]
FORMS = {
    "/create-pool": "name description excluded_packages conflict_resolution retention",
    "/pools/lab/change": "name description excluded_packages conflict_resolution retention",
    "/pools/lab/sync": "expected_number",
    "/pools/lab/target/box": "expected_number expected_digest comment",
    "/pools/lab/revisions/1/go-back": "expected_number comment",
    "/endpoints/box/pool": "pool",
    "/endpoints/box/sync": "idempotency_key shown",
    "/endpoints/box/revert": "idempotency_key shown",
    "/enrol": "pool uses valid_for",
    "/tokens": "name role days",
    "/selected": "action pool words endpoint",
    "/selected/do": "action pool words names shown",
}


@pytest.fixture
def fleet() -> None:
    pool = factories.pool("lab")
    factories.target(pool, "app 2-1")
    factories.reporting_endpoint("box", pool=pool, state=factories.state("app 1-1"))


def test_no_parameter_of_a_page_ends_in_an_error(staff: Client, fleet: None) -> None:
    staff.raise_request_exception = False
    given = dict.fromkeys([*WORDS.split(" "), NUL], NUL)
    answers = {path: staff.get(path, given).status_code for path in PAGES}
    assert {path: status for path, status in answers.items() if status >= 500} == {}


def test_no_field_of_a_form_ends_in_an_error(staff: Client, fleet: None) -> None:
    staff.raise_request_exception = False
    found = {path: staff.post(path, dict.fromkeys(names.split(), NUL)).status_code for path, names in FORMS.items()}
    for action in ("sync", "move", "cancel", "forget"):
        rest = dict.fromkeys(["pool", "words", "names", "shown", "endpoint"], NUL)
        found |= {
            f"{path} {action}": staff.post(path, rest | {"action": action}).status_code
            for path in FORMS
            if "sel" in path
        }
    assert {path: status for path, status in found.items() if status >= 500} == {}
