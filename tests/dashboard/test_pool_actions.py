"""What staff can do to a pool and its enrolment codes, and what is said when it is refused."""

from typing import Any

import pytest
from django.test import Client

from apps.fleet import endpoint_manager
from apps.fleet.models import AuditEvent, Endpoint, EnrolmentCode, Pool
from apps.fleet.tokens import hash_of
from tests import factories
from tests.dashboard.messages import said

POLICY = {"conflict_resolution": "newest", "retention": 7, "excluded_packages": "linux* \r\n nvidia", "auto_sync": "on"}


def test_create_pool_form_makes_it_with_its_policy(staff: Client) -> None:
    answer = staff.post("/create-pool", {"name": "lab", "description": "basement", **POLICY})
    assert (answer.status_code, answer["Location"]) == (302, "/pools/lab")
    made = Pool.objects.get(name="lab")
    assert (made.auto_sync, made.endpoint_targets_need_approval, made.retention) == (True, False, 7)
    assert made.excluded_packages == ["linux*", "nvidia"]
    assert AuditEvent.objects.get(verb="create").actor == "user:ada"


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"name": "lab"}, "There is a pool with the name lab already."),
        ({"name": "a/b"}, "A name has 1 to 63 letters"),
        ({"name": "x", "retention": 100_000}, "retention must be a whole number from 1 to 10000."),
        ({"name": "x", "retention": ""}, "This field is required."),
        ({"name": "x", "conflict_resolution": "none"}, "Select a valid choice."),
        ({"name": "x", "excluded_packages": "a" * 300}, "excluded_packages is longer than 255 characters."),
        ({"name": "x", "description": "two\nlines"}, "description has characters that can"),
    ],
)
def test_create_pool_refused_says_why_at_the_form(
    staff: Client, pool: Pool, changed: dict[str, Any], sentence: str
) -> None:
    answer = staff.post("/create-pool", {**POLICY, **changed})
    assert answer.status_code == 422
    assert sentence in answer.content.decode()
    assert Pool.objects.count() == 1


def test_create_pool_refused_for_several_reasons_says_all_of_them(staff: Client, pool: Pool) -> None:
    wrong = {"name": "lab", "description": "two\nlines", "retention": 100_000, "conflict_resolution": "none"}
    page = staff.post("/create-pool", {**POLICY, **wrong, "excluded_packages": "a" * 300}).content.decode()
    for sentence in (
        "There is a pool with the name lab already.",
        "description has characters that can",
        "retention must be a whole number from 1 to 10000.",
        "Select a valid choice.",
        "excluded_packages is longer than 255 characters.",
    ):
        assert page.count(sentence) == 1, sentence


def test_change_pool_renamed_is_shown_under_its_new_name(staff: Client, pool: Pool) -> None:
    answer = staff.post("/pools/lab/change", {"name": "cellar", **POLICY})
    assert (answer.status_code, answer["Location"]) == (302, "/pools/cellar")
    event = AuditEvent.objects.get(verb="change")
    assert (event.before["name"], event.after["name"]) == ("lab", "cellar")


def test_change_pool_form_shows_what_is_set(staff: Client) -> None:
    factories.pool("lab", excluded_packages=["linux*", "nvidia"], endpoint_targets_need_approval=False)
    page = staff.get("/pools/lab/change").content.decode()
    assert "linux*\nnvidia</textarea>" in page
    assert (
        'name="endpoint_targets_need_approval" aria-describedby="id_endpoint_targets_need_approval_helptext" id='
        in page
    )


def test_delete_pool_with_endpoints_is_refused(staff: Client, pool: Pool) -> None:
    answer = staff.post("/pools/lab/delete")
    assert answer["Location"] == "/pools/lab"
    assert "Endpoints are assigned to the pool lab" in said(answer)


def test_delete_pool_with_endpoints_says_how_many_and_has_no_button(staff: Client, pool: Pool) -> None:
    factories.endpoint("one-more", pool=pool)
    count = pool.endpoints.count()
    page = staff.get("/pools/lab/delete").content.decode()
    assert f"It still has {count} endpoints. Move them to another pool first." in page
    assert "Delete the pool" not in page and ">Back</a>" in page


@pytest.mark.parametrize(
    ("revisions", "said"),
    [
        (0, "It has no target revisions and no endpoints. There is no way back."),
        (1, "Its 1 target revision is deleted, too. There is no way back."),
        (2, "Its 2 target revisions are deleted, too. There is no way back."),
    ],
)
def test_delete_pool_says_what_goes_with_it(staff: Client, revisions: int, said: str) -> None:
    pool = factories.pool("old")
    for number in range(revisions):
        factories.target(pool, f"app {number}-1")
    Endpoint.objects.update(pool=None)
    page = staff.get("/pools/old/delete").content.decode()
    assert said in page and "Delete the pool" in page


def test_delete_pool_empty_is_gone(staff: Client) -> None:
    factories.pool("lab")
    assert staff.get("/pools/lab/delete").status_code == 200
    assert Pool.objects.exists()
    assert staff.post("/pools/lab/delete")["Location"] == "/"
    assert not Pool.objects.exists()


def test_create_code_shown_once_and_only_its_hash_kept(staff: Client, pool: Pool) -> None:
    answer = staff.post("/enrol", {"pool": "lab", "uses": 3, "valid_for": 3600})
    text = answer.context["text"]
    made = EnrolmentCode.objects.get()
    assert (made.pool, made.uses, made.code_hash) == (pool, 3, hash_of(text))
    page = answer.content.decode()
    assert f"enroll --server http://testserver --code {text}" in page
    assert "no-store" in answer["Cache-Control"]
    assert text not in staff.get("/enrol").content.decode()


def test_create_code_senseless_is_said(staff: Client) -> None:
    answer = staff.post("/enrol", {"pool": "none", "uses": 0, "valid_for": 5})
    assert answer.status_code == 422
    assert set(answer.context["form"].errors) == {"pool", "uses", "valid_for"}
    assert not EnrolmentCode.objects.exists()


def test_delete_code_is_gone(staff: Client) -> None:
    code, _ = endpoint_manager.create_enrolment_code(actor="test")
    assert "No machine can enrol" in said(staff.post(f"/enrol/{code.pk}/delete"))
    assert not EnrolmentCode.objects.exists()
    assert staff.post(f"/enrol/{code.pk}/delete").status_code == 404
