"""What browsers need isn't in the way of a request with a token, and only there."""

import pytest
from django.http import HttpRequest

from apps.api.access import for_browsers
from tests.api.support import Api, ApiMachine

pytestmark = pytest.mark.django_db
POLICY = "Content-Security-Policy"


def request(path: str, authorization: str | None) -> HttpRequest:
    made = HttpRequest()
    made.path_info = path
    if authorization is not None:
        made.META["HTTP_AUTHORIZATION"] = authorization
    return made


@pytest.mark.parametrize(
    ("path", "authorization", "expected"),
    [
        ("/api/v1/checkin", "Bearer pse_1", True),
        ("/api/v1/fleet", "Bearer pst_1", True),
        ("/api/v1/docs", None, False),
        ("/api/v1/docs", "Basic dXNlcjp3b3Jk", False),  # a proxy's own, which a browser sends with every page
        ("/api/v1/docs", "Bearer of a proxy", False),
        ("/endpoints", "Bearer pst_1", False),
    ],
)
def test_has_token_only_with_one_of_ours_to_the_api(path: str, authorization: str | None, expected: bool) -> None:
    assert for_browsers.has_token(request(path, authorization)) is expected


def test_answer_to_an_agent_has_the_strictest_policy_and_that_to_a_stranger_a_pages(machine: ApiMachine) -> None:
    answer = machine.api.get("/me")
    assert answer.status == 200 and answer.headers[POLICY] == for_browsers.NOTHING
    assert answer.headers["X-Frame-Options"] == "DENY" and "Cookie" not in answer.headers.get("Vary", "")
    assert "'self'" in Api().get("/me").headers[POLICY]


def test_unknown_path_with_a_token_is_still_answered(machine: ApiMachine) -> None:
    machine.api.get("/nothing").refused(404, "not_found")
