"""Signatures of target revisions by the API: the bytes to sign, the upload, and who may do what."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from apps.fleet.alpm import openpgp
from apps.fleet.models import RevisionSignature
from tests import factories
from tests.api.support import Api, ApiMachine, api_token, claim, queue
from tests.support.keys import Keys

pytestmark = [pytest.mark.django_db, pytest.mark.needs("gpg")]
PATH = "/pools/web/targets/1"
TOKEN = uuid4()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keys]:
    made = Keys(tmp_path_factory.mktemp("keys"))
    made.make("operator")
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def web(db: None) -> None:
    """The pool `web` with a target."""
    factories.target(factories.pool("web"), "app 2-1")


def text_of(api: Api, query: str = "", path: str = PATH) -> bytes:
    response: Any = api.client.get(f"/api/v1{path}/document{query}", headers=api.headers)
    assert response.status_code == 200 and response["Content-Type"].startswith("text/plain")
    return bytes(response.content)


def upload(api: Api, keys: Keys, tmp_path: Path, text: bytes, path: str = PATH) -> Any:
    file = tmp_path / "text"
    file.write_bytes(text)
    armored = keys.gpg("--local-user", "operator", "--armor", "--output", "-", "--detach-sign", file)
    return api.request("PUT", f"{path}/signature", text + armored, content_type="text/plain")


def test_text_that_was_signed_is_kept_and_its_signature_can_be_removed(
    operator: Api, keys: Keys, tmp_path: Path
) -> None:
    operator.get(f"{PATH}/signature").refused(404, "not_found")
    assert operator.get(PATH).ok()["signed_until"] is None
    made = upload(operator, keys, tmp_path, text_of(operator, "?days=3")).ok()
    assert len(made["issuer"]) == 40 and made["until"] > made["signed"]
    assert operator.get(f"{PATH}/signature").ok() == made
    assert operator.get(PATH).ok()["signed_until"] == made["until"]
    for _ in range(2):
        assert operator.request("DELETE", f"{PATH}/signature").status == 204
    operator.get(f"{PATH}/signature").refused(404, "not_found")


def test_what_no_machine_would_take_is_refused(operator: Api, keys: Keys, tmp_path: Path) -> None:
    text = text_of(operator)
    upload(operator, keys, tmp_path, text.replace(b"2-1", b"3-1")).refused(409, "conflict")
    upload(operator, keys, tmp_path, b"hello\n").refused(422, "invalid_request")
    put = {"content_type": "text/plain"}
    operator.request("PUT", f"{PATH}/signature", text, **put).refused(422, "invalid_request")
    operator.request("PUT", f"{PATH}/signature", text + b"-----BEGIN PGP SIGNATURE-----\n", **put).refused(
        422, "invalid_request"
    )
    operator.get(f"{PATH}/document?days=0").refused(422, "invalid_request")
    operator.get(f"{PATH}/document?days=99999").refused(422, "invalid_request")
    operator.get("/pools/web/targets/2/document").refused(404, "not_found")
    assert not RevisionSignature.objects.exists()


def test_viewer_reads_and_may_not_sign(operator: Api, keys: Keys, tmp_path: Path) -> None:
    viewer = Api(api_token("viewer"))
    text = text_of(viewer)
    upload(viewer, keys, tmp_path, text).refused(403, "forbidden")
    viewer.request("DELETE", f"{PATH}/signature").refused(403, "forbidden")


def test_claim_has_the_signed_text_and_reports_say_which_keys_count(
    operator: Api, behind: ApiMachine, keys: Keys, tmp_path: Path
) -> None:
    key, pool = "A" * 40, behind.api.get("/me").ok()
    identity, path = pool["pool_id"], f"/pools/{pool['pool']}/targets/{pool['target']['number']}"
    signing = {"keys": [key], "pool": identity, "accepted": 1, "problem": None}
    assert operator.get(f"/endpoints/{pool['name']}").ok()["signing"] is None
    behind.report("linux 1-1", signing=signing)
    assert operator.get(f"/endpoints/{pool['name']}").ok()["signing"] == signing
    operation = queue(behind)
    assert claim(behind, operation, str(TOKEN)).ok()["target"]["signed"] is None
    text = text_of(operator, path=path)
    upload(operator, keys, tmp_path, text, path=path).ok()
    said = claim(behind, operation, str(TOKEN)).ok()["target"]["signed"]
    assert base64.b64decode(said["document"]) == text
    assert openpgp.signature(base64.b64decode(said["signature"]))


@pytest.mark.parametrize(
    "change", [{"keys": ["x"]}, {"keys": ["A" * 40] * 60}, {"pool": "web"}, {"accepted": -1}, {"problem": "No!"}]
)
def test_report_of_keys_that_makes_no_sense_is_refused(behind: ApiMachine, change: dict[str, Any]) -> None:
    signing = {"keys": ["A" * 40], "pool": None, "accepted": None} | change
    body = {"seq": 99, "state": "0" * 64, "signing": signing}
    behind.api.post("/checkin", body).refused(422, "invalid_request")
