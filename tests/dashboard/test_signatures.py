"""Signatures on the pages: the text to download, the upload, the removal, and what pages say about them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from apps.fleet.models import Endpoint, Pool, RevisionSignature
from tests import factories
from tests.dashboard.test_targets import page
from tests.support.keys import Keys

pytestmark = [pytest.mark.django_db, pytest.mark.needs("gpg")]
ADDRESS = "/pools/lab/revisions/1"
KEY = "A" * 40


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keys]:
    made = Keys(tmp_path_factory.mktemp("keys"))
    made.make("operator")
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def pool() -> Pool:
    made = factories.pool("lab")
    factories.target(made, "app 2-1")
    factories.reporting_endpoint("box", pool=made, state=factories.state("app 1-1"))
    return made


def text_of(client: Client, days: str = "30") -> bytes:
    response = client.get(f"{ADDRESS}/document?days={days}")
    assert response["Content-Disposition"] == 'attachment; filename="lab-1.txt"'
    return response.content


def uploaded(keys: Keys, tmp_path: Path, text: bytes) -> dict[str, SimpleUploadedFile]:
    path = tmp_path / "text"
    path.write_bytes(text)
    signature = keys.sign(path, "operator").read_bytes()
    return {"document": SimpleUploadedFile("lab-1.txt", text), "signature": SimpleUploadedFile("x.sig", signature)}


def test_revision_is_signed_by_three_steps_and_the_signature_is_removed(
    staff: Client, reader: Client, keys: Keys, tmp_path: Path
) -> None:
    assert "<dt>Signature</dt><dd>none." in page(staff, ADDRESS)
    steps = page(staff, f"{ADDRESS}/sign")
    assert "pacsync-agent sign lab-1.txt" in steps and 'enctype="multipart/form-data"' in steps
    answer = staff.post(f"{ADDRESS}/sign", uploaded(keys, tmp_path, text_of(reader)))
    assert answer.status_code == 302 and answer["Location"] == ADDRESS
    signed = RevisionSignature.objects.get()
    text = page(staff, ADDRESS)
    assert "good until" in text and signed.issuer in text and "Sign it again" in text
    assert "It is signed already." in page(staff, f"{ADDRESS}/sign")
    assert "Target signed</dt><dd>until" in page(reader, "/pools/lab")
    assert "uploaded a signature of target" in page(reader, "/audit")
    assert "Machines that follow only signed revisions" in page(staff, f"{ADDRESS}/remove-signature")
    assert staff.post(f"{ADDRESS}/remove-signature").status_code == 302
    assert not RevisionSignature.objects.exists()


def test_upload_of_something_else_says_what_is_wrong_and_keeps_nothing(
    staff: Client, keys: Keys, tmp_path: Path
) -> None:
    files = uploaded(keys, tmp_path, text_of(staff))
    files["signature"] = SimpleUploadedFile("x.sig", b"hello")
    answer = staff.post(f"{ADDRESS}/sign", files)
    assert answer.status_code == 422 and "not one detached OpenPGP signature" in answer.content.decode()
    answer = staff.post(f"{ADDRESS}/sign", uploaded(keys, tmp_path, text_of(staff).replace(b"2-1", b"3-1")))
    assert answer.status_code == 422 and "Download and sign a new one" in answer.content.decode()
    assert staff.post(f"{ADDRESS}/sign").status_code == 422
    assert not RevisionSignature.objects.exists()


def test_days_that_make_no_sense_are_refused_with_a_message(staff: Client) -> None:
    answer = staff.get(f"{ADDRESS}/document?days=9999", follow=True)
    assert "The days must be a whole number from 1 to 3650." in answer.content.decode()


@pytest.mark.parametrize(
    ("signing", "said"),
    [
        ({"keys": [KEY], "pool": None, "accepted": 7, "problem": None}, "the last accepted one is #7"),
        ({"keys": [KEY], "pool": None, "accepted": None, "problem": None}, "it has accepted none yet"),
        ({"keys": [], "pool": None, "accepted": None, "problem": "keyring_unsafe"}, "<code>keyring_unsafe</code>"),
    ],
)
def test_pages_say_which_machines_follow_only_signed_revisions(
    staff: Client, signing: dict[str, object], said: str
) -> None:
    assert "Signed revisions" not in page(staff, "/endpoints/box")
    Endpoint.objects.filter(name="box").update(signing=signing)
    assert said in page(staff, "/endpoints/box")
    assert "none: 1 machine of this pool follows only signed revisions" in page(staff, ADDRESS)
