"""What a body may cost: counted before it is parsed, never by the clock. Each bound with what it must not refuse."""

import json
from typing import Any

import pytest
from django.http import HttpRequest
from django.test import Client

from apps.api.requests import strict_json
from apps.api.requests.body import ANONYMOUS_LIMIT
from apps.api.requests.problems import RequestRefused
from apps.fleet.models import Pool, Role
from tests import factories
from tests.api.support import ROOT, Answer, Api, ApiMachine

pytestmark = pytest.mark.django_db
MIB = 1 << 20
VALUES = strict_json.MAX_VALUES


def object_of(count: int) -> str:
    return json.dumps({f"k{number}": 1 for number in range(count)})


TOO_COMPLEX = {
    "unknown keys": object_of(70_000),
    "a few keys too many": object_of(strict_json.MAX_KEYS + 1),
    "values": "[" + "1," * VALUES + "1]",
    "objects": '{"name": [' + "{}," * VALUES + "{}]}",
    "nested": "[" * 100_000,
    "nested and closed": "[" * 500 + "]" * 500,
    "nested a little": "[" * (strict_json.MAX_DEPTH + 2) + "]" * (strict_json.MAX_DEPTH + 2),
    "nested objects": '{"name":' * 20_000 + "1" + "}" * 20_000,
    "digits": '{"retention": ' + "9" * 5000 + "}",
    "digits with a sign": '{"retention": -' + "9" * strict_json.MAX_DIGITS + "}",
}


@pytest.mark.parametrize("body", TOO_COMPLEX.values(), ids=TOO_COMPLEX)
def test_body_that_costs_too_much_400_and_nothing_made(operator: Api, body: str) -> None:
    operator.request("POST", "/pools", body).refused(400, "too_complex")
    assert not Pool.objects.exists()


@pytest.mark.parametrize("body", TOO_COMPLEX.values(), ids=TOO_COMPLEX)
def test_body_that_costs_too_much_without_the_bounds_is_parsed(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative twin: only the bounds refuse it (or Python, at its own depth and digits)."""
    for name in ("MAX_VALUES", "MAX_DEPTH", "MAX_KEYS", "MAX_DIGITS"):
        monkeypatch.setattr(strict_json, name, 10**9)
    monkeypatch.setattr(strict_json, "_check_depth", lambda value: None)
    try:
        strict_json.loads(body.encode())
    except RequestRefused as refusal:
        assert len(body) > 4300, refusal


def test_values_are_counted_before_anything_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    monkeypatch.setattr(strict_json.json, "loads", lambda text, **options: parsed.append(text))
    with pytest.raises(RequestRefused, match="values"):
        strict_json.loads(TOO_COMPLEX["unknown keys"].encode())
    assert not parsed


@pytest.mark.parametrize("text", ["[,{" * 20_000, '\\",[' * 5000, "\\" * 1001 + '"', "[" * 65_000])
def test_separators_within_a_string_are_no_values(text: str) -> None:
    """A log that pacman wrote may hold anything."""
    body = json.dumps({"log_tail": text})
    assert strict_json.loads(body.encode()) == {"log_tail": text}


def test_result_with_the_longest_log_is_read(machine: ApiMachine) -> None:
    path = "/operations/7f0c2c1e-98a5-4d0b-9a55-0a6d5cf1a3d1/result"
    body = {"lease_token": "7f0c2c1e-98a5-4d0b-9a55-0a6d5cf1a3d1", "outcome": "failed", "seq": 1, "state": "0" * 64}
    machine.api.post(path, body | {"log_tail": "[,{" * 21_845}).refused(404, "not_found")


def test_largest_check_in_is_read(machine: ApiMachine) -> None:
    """Ten repositories with the mirrors of the world, and as many patterns as fields take."""
    mirrors = [f"https://mirror{number}.example/archlinux/core/os/x86_64" for number in range(1000)]
    repositories = [{"name": f"r{n}", "digest": "0" * 64, "mirrors": mirrors} for n in range(10)]
    names = [f"package-{number}" for number in range(1000)]
    body = {"seq": 1, "state": "0" * 64, "repositories": repositories, "holds": names, "replaced": names}
    assert len(json.dumps(body)) < MIB
    assert machine.api.post("/checkin", body).ok()["recorded"] is False


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "identity, gzip"])
def test_json_with_a_content_encoding_415_and_nothing_made(operator: Api, encoding: str) -> None:
    answer = operator.request("POST", "/pools", '{"name": "lab"}', Content_Encoding=encoding)
    answer.refused(415, "unsupported_media_type")
    assert not Pool.objects.exists()
    assert operator.request("POST", "/pools", '{"name": "lab"}', Content_Encoding="identity").status == 201


def test_many_errors_ten_are_listed_and_the_rest_counted(operator: Api) -> None:
    problem = operator.request("POST", "/pools", object_of(60)).refused(422, "invalid_request")
    assert len(problem["errors"]) == 10
    assert "51 more" in problem["detail"]  # 60 unknown ones, and the name is missing


def test_few_errors_all_are_listed(operator: Api) -> None:
    problem = operator.request("POST", "/pools", object_of(3)).refused(422, "invalid_request")
    assert len(problem["errors"]) == 4 and "more" not in problem["detail"]


@pytest.mark.parametrize("items", [[1] * 10_000, [{"a": 1}] * 10_000, [[]] * 10_000])
def test_long_lists_of_wrong_items_are_given_up_early(machine: ApiMachine, items: list[Any]) -> None:
    body = {"seq": 1, "state": "0" * 64, "holds": items[:3000], "repositories": items[:3000], "replaced": items[:3000]}
    problem = machine.api.post("/checkin", body).refused(422, "invalid_request")
    assert len(problem["errors"]) <= 10 and "more" not in problem["detail"]


@pytest.mark.parametrize("size", [ANONYMOUS_LIMIT + 1, MIB - 1])
def test_anonymous_body_above_the_small_limit_413(size: int, db: Any) -> None:
    body = b'{"code": "' + b"a" * size + b'"}'
    Answer(Client().post(f"{ROOT}/enroll", body, "application/json")).refused(413, "too_large")


def test_anonymous_body_at_the_small_limit_is_parsed(db: Any) -> None:
    body = (b'{"code": "' + b"a" * ANONYMOUS_LIMIT)[: ANONYMOUS_LIMIT - 2] + b'"}'
    Answer(Client().post(f"{ROOT}/enroll", body, "application/json")).refused(422, "invalid_request")


@pytest.mark.parametrize("token", [None, "wrong", "pse_wrong"])
def test_body_of_nobody_is_never_parsed(token: str | None, monkeypatch: pytest.MonkeyPatch, db: Any) -> None:
    parsed: list[bytes] = []
    monkeypatch.setattr(strict_json, "loads", parsed.append)
    Api(token).request("POST", "/pools", object_of(70_000)).refused(401, "token_invalid")
    assert not parsed


def test_body_of_somebody_who_may_not_is_never_parsed(viewer: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []
    monkeypatch.setattr(strict_json, "loads", parsed.append)
    viewer.request("POST", "/pools", object_of(70_000)).refused(403, "forbidden")
    assert not parsed


FORM = "application/x-www-form-urlencoded"
LARGE_FORMS = {
    "fields": (b"a=1&" * 4200, FORM),
    "escapes": (b"username=" + b"%41" * 340_000, FORM),
    "multipart": (
        b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\nx\r\n' * 18_000,
        "multipart/form-data; boundary=b",
    ),
}


@pytest.mark.parametrize(("body", "kind"), LARGE_FORMS.values(), ids=LARGE_FORMS)
@pytest.mark.parametrize("path", ["/login", "/admin/login/", "/create-pool"])
def test_large_form_of_nobody_413_and_never_parsed(
    path: str, body: bytes, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HttpRequest, "_load_post_and_files", lambda request: pytest.fail("parsed"))
    assert Client(enforce_csrf_checks=True).post(path, body, kind).status_code == 413


def test_large_form_of_a_person_is_parsed() -> None:
    client = Client()
    client.force_login(factories.account("ann", Role.OPERATOR))
    fields = {"name": "lab", "description": "", "excluded_packages": "x" * ANONYMOUS_LIMIT, "retention": 5}
    assert client.post("/create-pool", fields).status_code == 422  # the page, with the error that a pattern is too long


@pytest.mark.parametrize("fields", [1001, 5000])
def test_form_and_query_with_more_fields_than_any_has_400(fields: int) -> None:
    client = Client()
    client.force_login(factories.account("ann", Role.OPERATOR))
    many = "&".join(f"a{number}=1" for number in range(fields))
    assert client.post("/create-pool", many, FORM).status_code == 400
    assert client.get(f"/endpoints?{many}").status_code == 400
