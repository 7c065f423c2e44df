"""Signed revisions on the server: the text to sign, what is taken as its signature, and what follows from that."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from apps.fleet import clock, endpoint_manager, pool_manager, queueing, signed_revisions, sync_coordinator
from apps.fleet.alpm import revision_document
from apps.fleet.exceptions import Conflict, Invalid
from apps.fleet.models import AuditEvent, Endpoint, Operation, Pool, RevisionSignature
from tests import factories
from tests.support.keys import Keys

pytestmark = [pytest.mark.django_db, pytest.mark.needs("gpg")]

KEY = "A" * 40
SIGNING: dict[str, Any] = {"keys": [KEY], "pool": None, "accepted": None, "problem": None}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = Keys(tmp_path_factory.mktemp("keys"))
    made.make("operator")
    yield made
    made.stop()


@pytest.fixture
def pool() -> Pool:
    """Target #1 is app 2-1; `box` has app 1-1 and an extra package."""
    pool = factories.pool("web", auto_sync=True, excluded_packages=["linux*"])
    factories.target(pool, "app 2-1", "lib 1-1 dependency")
    factories.reporting_endpoint("box", pool=pool, state=factories.state("app 1-1", "extra 1-1"))
    return pool


def signed(keys: Keys, tmp_path: Path, text: bytes) -> bytes:
    path = tmp_path / "text"
    path.write_bytes(text)
    return keys.sign(path, "operator").read_bytes()


def sign(keys: Keys, tmp_path: Path, pool: Pool, text: bytes | None = None, number: int = 1) -> RevisionSignature:
    text = signed_revisions.document(pool=pool, number=number) if text is None else text
    return signed_revisions.sign(
        pool=pool, number=number, document=text, signature=signed(keys, tmp_path, text), actor="user:ann"
    )


def test_text_says_all_that_decides_what_a_machine_does(pool: Pool) -> None:
    found = revision_document.parse(signed_revisions.document(pool=pool, number=1, days=3))
    assert (found.pool, found.pool_name, found.number) == (str(pool.identity), "web", 1)
    assert found.expires - found.created == 3 * 86400
    assert [(one.package.name, one.package.version, one.package.reason) for one in found.packages] == [
        ("app", "2-1", "explicit"),
        ("lib", "1-1", "dependency"),
    ]
    assert all(one.file and one.file.sha256 and one.file.repository == "core" for one in found.packages)
    assert found.excluded == ("linux*",) and found.removed == ("extra",)


def test_identity_of_a_pool_stays_when_it_is_renamed_and_is_made_where_it_lacks(pool: Pool) -> None:
    before = pool.identity
    assert pool_manager.change_pool(pool=pool, name="www", actor="test").identity == before
    Pool.objects.update(identity=None)  # as the release before makes them
    pool.refresh_from_db()
    made = signed_revisions.identity_of(pool)
    pool.refresh_from_db()
    assert made and pool.identity == made and signed_revisions.identity_of(pool) == made
    assert factories.pool("web").identity != before, "a new pool of the same name is another one"


def test_signature_is_kept_shown_and_audited(keys: Keys, tmp_path: Path, pool: Pool) -> None:
    text = signed_revisions.document(pool=pool, number=1)
    made = sign(keys, tmp_path, pool, text)
    assert len(made.issuer) == 40 and signed_revisions.text_of(made) == text
    revision = pool.revisions.get()
    assert revision.signed_until and revision.signed_until > clock.now() + timedelta(days=89)
    event = AuditEvent.objects.get(verb="sign_target")
    assert (event.actor, event.object, event.after["issuer"]) == ("user:ann", "pool:web", made.issuer)
    again = sign(keys, tmp_path, pool)
    assert RevisionSignature.objects.get() == again


def test_signature_that_is_removed_is_gone_and_a_repeat_changes_nothing(keys: Keys, tmp_path: Path, pool: Pool) -> None:
    sign(keys, tmp_path, pool)
    assert signed_revisions.remove(pool=pool, number=1, actor="user:ann")
    assert not signed_revisions.remove(pool=pool, number=1, actor="user:ann")
    assert pool.revisions.get().signed_until is None
    assert AuditEvent.objects.filter(verb="unsign_target").count() == 1


REFUSED: dict[str, tuple[type[Exception], str, Any]] = {
    "no text": (Invalid, "not the text of a revision", lambda text: b""),
    "changed text": (Conflict, "isn't what target #1", lambda text: text.replace(b"2-1", b"3-1")),
    "another number": (Conflict, "of target #2", lambda text: text.replace(b"number 1", b"number 2")),
    "expired": (Invalid, "expired", lambda text: _times(text, "2020-01-01T00:00:00Z", "2020-02-01T00:00:00Z")),
    "of the future": (Invalid, "future", lambda text: _times(text, "2999-01-01T00:00:00Z", "2999-02-01T00:00:00Z")),
}


def _times(text: bytes, created: str, expires: str) -> bytes:
    lines = text.decode().split("\n")
    lines[3:5] = [f"created {created}", f"expires {expires}"]
    return "\n".join(lines).encode()


@pytest.mark.parametrize("name", REFUSED)
def test_text_that_no_machine_would_take_is_refused(name: str, keys: Keys, tmp_path: Path, pool: Pool) -> None:
    kind, said, change = REFUSED[name]
    text = change(signed_revisions.document(pool=pool, number=1))
    with pytest.raises(kind, match=said):
        sign(keys, tmp_path, pool, text)
    assert not RevisionSignature.objects.exists() and pool.revisions.get().signed_until is None


@pytest.mark.parametrize("signature", [b"", b"<html>", b"x" * 40_000, b"-----BEGIN PGP SIGNATURE-----\n\n%\n"])
def test_what_is_no_signature_is_refused(signature: bytes, pool: Pool) -> None:
    text = signed_revisions.document(pool=pool, number=1)
    with pytest.raises(Invalid, match="not one detached OpenPGP signature"):
        signed_revisions.sign(pool=pool, number=1, document=text, signature=signature, actor="test")


def test_older_text_does_not_replace_a_newer_signature(keys: Keys, tmp_path: Path, pool: Pool) -> None:
    text = signed_revisions.document(pool=pool, number=1)
    lines = text.decode().split("\n")
    older = _times(text, "2026-01-01T00:00:00Z", lines[4].removeprefix("expires "))
    sign(keys, tmp_path, pool, text)
    with pytest.raises(Conflict, match="newer text"):
        sign(keys, tmp_path, pool, older)


def test_text_is_refused_after_the_exclusions_changed(keys: Keys, tmp_path: Path, pool: Pool) -> None:
    text = signed_revisions.document(pool=pool, number=1)
    pool_manager.change_pool(pool=pool, excluded_packages=["nvidia*"], actor="test")
    with pytest.raises(Conflict, match="excluded packages"):
        sign(keys, tmp_path, pool, text)


def queued(endpoint: Endpoint) -> Operation | None:
    queueing.queue_automatic(Endpoint.objects.with_target().get(pk=endpoint.pk))
    return Operation.objects.filter(endpoint=endpoint).active().first()


def test_automatic_sync_waits_for_a_signature_where_the_machine_wants_one(
    keys: Keys, tmp_path: Path, pool: Pool
) -> None:
    pool_manager.change_pool(pool=pool, conflict_resolution="oldest", actor="test")
    box = Endpoint.objects.get(name="box")
    Endpoint.objects.filter(pk=box.pk).update(signing=SIGNING)
    Operation.objects.all().delete()
    assert queued(box) is None
    sign(keys, tmp_path, pool)
    found = queued(box)
    assert found and found.revision and found.revision.number == 1


def test_automatic_sync_goes_on_when_the_signature_comes_that_a_machine_missed(
    keys: Keys, tmp_path: Path, pool: Pool
) -> None:
    pool_manager.change_pool(pool=pool, conflict_resolution="oldest", actor="test")
    box = Endpoint.objects.get(name="box")
    Operation.objects.all().delete()
    assert queued(box)
    Endpoint.objects.filter(pk=box.pk).update(signing=SIGNING)  # it trusts a key from now on, and refuses
    Operation.objects.filter(endpoint=box).update(
        status="failed", finished=clock.now(), result={"code": "revision_unsigned"}
    )
    sign(keys, tmp_path, pool)
    assert queued(box)


def test_check_in_records_the_keys_that_a_machine_trusts(pool: Pool) -> None:
    box = Endpoint.objects.get(name="box")
    state = box.state
    assert state
    done = endpoint_manager.check_in(
        endpoint=box,
        seq=box.report_seq + 1,
        state=state.digest,
        repositories=[],
        holds=[],
        agent_version="1",
        signing={**SIGNING, "keys": [KEY, KEY], "accepted": 7},
    )
    assert done.recorded
    box.refresh_from_db()
    assert box.signing == {**SIGNING, "accepted": 7}


def test_sync_that_a_person_asks_for_is_not_kept_from_a_machine(pool: Pool) -> None:
    """The machine itself refuses, with a reason that people see."""
    box = Endpoint.objects.get(name="box")
    Operation.objects.all().delete()
    Endpoint.objects.filter(pk=box.pk).update(signing=SIGNING)
    made, _ = sync_coordinator.create_operation(endpoint=box, kind="sync", actor="user:ann")
    assert made.status == "queued"


def test_table_of_signatures_goes_with_its_pool(keys: Keys, tmp_path: Path, pool: Pool) -> None:
    sign(keys, tmp_path, pool)
    Operation.objects.all().delete()
    Endpoint.objects.update(pool=None)
    pool_manager.delete_pool(pool=pool, actor="test")
    assert not RevisionSignature.objects.exists()
