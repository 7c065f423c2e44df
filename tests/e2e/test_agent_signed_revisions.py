"""Signed revisions from end to end: a real server, real machines and pacman, an operator's real key; and that server in
the hands of a thief, who writes into its database."""

import http.client
import json
import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.two_endpoints import NEW, OLD, Lab, refused
from tests.support import agent
from tests.support.agent import Done
from tests.support.hostile import Hostile
from tests.support.keys import Keys
from tests.support.pacman import Fleet
from tests.support.server import manage
from tests.support.site import Site

pytestmark = [
    pytest.mark.needs("pacman", "gpg"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may trust keys"),
]

KEYRING = {"usr/share/pacman/keyrings/test.gpg": b""}


class SignedLab(Lab):
    """`one` trusts the operator's key; `two` sets targets; `one` has its mirror where the target's packages are."""

    def __init__(self, fleet: Fleet, site: Site, directory: Path, **policy: object) -> None:
        super().__init__(fleet, site, **policy)
        self.directory = directory
        self.pool = str(site.call("GET", f"/endpoints/{self.names[0]}")["pool"])
        self.keys = Keys(directory / "operator")
        self.key = self.keys.make("operator")
        self.move(NEW)
        self.one.pacman("-Syy")

    def trust(self) -> Done:
        path = self.directory / "operator.pgp"
        path.write_bytes(self.keys.export(self.key))
        return agent.run(self.one, "trust", path, "--yes", "--json").ok()

    def raw(self, method: str, path: str, body: bytes | None = None) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.site.server.port, timeout=30)
        headers = {"Authorization": f"Bearer {self.site.token}", "Content-Type": "text/plain"}
        connection.request(method, f"/api/v1{path}", body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        assert answer.status < 400, content
        return content

    def sign(self, number: int) -> Path:
        """Download the text, sign it by the agent's command, upload both."""
        text = self.directory / f"{self.pool}-{number}.txt"
        text.write_bytes(self.raw("GET", f"/pools/{self.pool}/targets/{number}/document"))
        done = agent.run(self.two, "sign", text, "--yes", "--json").ok()
        signature = Path(done.last["signature"])
        self.raw("PUT", f"/pools/{self.pool}/targets/{number}/signature", text.read_bytes() + signature.read_bytes())
        return text

    def steal(self, statement: str, *values: Any) -> None:
        """Write into the server's database, as whoever stole it could."""
        path = self.site.database_url.removeprefix("sqlite:///")
        with sqlite3.connect(path, timeout=30) as database:
            changed = database.execute(statement, values)
            assert changed.rowcount > 0
        database.close()

    def endpoint(self) -> dict[str, Any]:
        return self.site.call("GET", f"/endpoints/{self.names[0]}")


@pytest.fixture
def lab(fleet: Fleet, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SignedLab]:
    made = SignedLab(fleet, site, tmp_path)
    monkeypatch.setenv("GNUPGHOME", str(made.keys.home))
    yield made
    made.keys.stop()


def test_machine_that_trusts_a_key_follows_what_it_signed_and_nothing_else(lab: SignedLab) -> None:
    lab.set_target()
    said = lab.trust().last
    assert [one["fingerprint"] for one in said["keys"]] == [lab.key] and said["accepted"] is None
    message = refused(lab.one, "revision_unsigned")
    assert "isn't signed" in message
    [operation] = lab.site.operations(lab.names[0])
    assert operation["result"]["code"] == "revision_unsigned" and "sign it" in operation["result"]["hint"]
    assert lab.endpoint()["signing"] == {"keys": [lab.key], "pool": said["pool"], "accepted": None, "problem": None}
    lab.sign(1)
    agent.run(lab.one, "sync").ok()
    assert lab.one.state() == lab.two.state()
    status = agent.run(lab.one, "status").ok().out
    assert "follows only signed revisions; the last accepted one is 1" in status and lab.key in status
    agent.run(lab.one, "once").ok()
    assert lab.endpoint()["signing"]["accepted"] == 1
    # It goes back by itself, to what it had; nobody else can ask that of it.
    lab.site.call("POST", "/operations", {"kind": "revert", "endpoint": lab.names[0]})
    agent.run(lab.one, "once")
    assert lab.site.operations(lab.names[0])[0]["result"]["code"] == "revert_not_signed"
    agent.run(lab.one, "revert").ok()
    assert lab.one.state()["tool"][0] == "1-1"


def test_stolen_server_replays_and_changes_what_was_signed(lab: SignedLab) -> None:
    lab.set_target()
    lab.trust()
    lab.sign(1)
    agent.run(lab.one, "sync").ok()
    before = lab.one.state()
    lab.two.install_file(lab.fleet.package("added", "1-1"))
    lab.two.install_file(lab.old[1])
    agent.run(lab.two, "set-latest", "--force").ok()
    refused(lab.one, "revision_unsigned")
    # The signature of revision 1 on revision 2.
    lab.steal(
        "INSERT INTO fleet_revisionsignature (revision_id, document, signature, issuer, signed, author, created)"
        " SELECT new.id, old.document, old.signature, old.issuer, old.signed, old.author, old.created"
        " FROM fleet_revisionsignature old, fleet_targetrevision new WHERE new.number = 2 AND new.pool_id ="
        " (SELECT pool_id FROM fleet_targetrevision WHERE id = old.revision_id)"
    )
    assert "another revision" in refused(lab.one, "revision_differs")
    # The same, with the number of revision 2 changed to that of revision 1.
    lab.steal("DELETE FROM fleet_revisionsignature WHERE document IS NOT NULL")
    lab.sign(2)
    lab.steal("UPDATE fleet_pool SET excluded_packages = ? WHERE name = ?", json.dumps(["tool"]), lab.pool)
    agent.run(lab.one, "once", "--json")
    assert lab.one.state() == before, "a package that the server calls excluded isn't passed off as kept"


def test_stolen_server_can_not_call_a_package_excluded(lab: SignedLab) -> None:
    lab.two.install_file(lab.fleet.package("added", "1-1"))
    lab.fleet.snapshot(NEW, [*lab.new, lab.fleet.package("added", "1-1")])
    lab.two.pacman("-Syy")
    lab.set_target()
    lab.trust()
    lab.sign(1)
    lab.steal("UPDATE fleet_pool SET excluded_packages = ? WHERE name = ?", json.dumps(["tool"]), lab.pool)
    message = refused(lab.one, "revision_differs")
    assert "tool" in message and "added" not in message
    lab.steal("UPDATE fleet_pool SET excluded_packages = ? WHERE name = ?", json.dumps([]), lab.pool)
    agent.run(lab.one, "sync").ok()
    assert lab.one.state() == lab.two.state()


def test_signed_checksum_is_enough_for_a_file_that_no_database_of_the_machine_has(
    lab: SignedLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 3: without trust_target_files, and from a mirror that only the target names."""
    lab.move("2025/01/01")
    lab.one.pacman("-Syy")
    content = lab.new[1].path.read_bytes()
    with Hostile(lambda peer: peer.answer(content)) as mirror:
        monkeypatch.setenv("http_proxy", mirror.url)
        lab.two.configure("http://mirror.invalid")
        agent.run(lab.two, "set-latest").ok()
        refused(lab.one)
        lab.trust()
        lab.sign(1)
        agent.run(lab.one, "sync").ok()
    assert lab.one.file("usr/share/tool/version") == b"2-1"


def test_signed_checksum_counts_for_what_follows_a_newer_keyring_too(
    lab: SignedLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the two transactions the agent is killed, and the file and its record are gone: it is accepted again."""
    keyring = [lab.fleet.package("test-keyring", number, files=KEYRING) for number in ("1-1", "2-1")]
    lab.fleet.snapshot(OLD, [*lab.old, keyring[0]])
    lab.fleet.snapshot(NEW, [*lab.new, keyring[1]])
    lab.move(OLD)
    for machine in (lab.one, lab.two):
        machine.pacman("-Syy")
        machine.pacman("-S", "test-keyring")
    files = {package.path.name: package.path.read_bytes() for package in (keyring[1], lab.new[1])}
    with Hostile(lambda peer: peer.answer(files[peer.path.rpartition("/")[2]])) as mirror:
        monkeypatch.setenv("http_proxy", mirror.url)
        lab.two.configure("http://mirror.invalid")
        agent.run(lab.two, "set-latest").ok()
        lab.trust()
        lab.sign(1)
        assert agent.run_killed_at(lab.one, "enter:verify", "sync").code == -signal.SIGKILL
        assert (lab.one.state()["test-keyring"][0], lab.one.state()["tool"][0]) == ("2-1", "1-1")
        (agent.state_dir(lab.one) / "accepted.json").unlink()
        for path in lab.one.cache.glob("tool-2*"):
            path.unlink()
        agent.run(lab.one, "once").ok()
    assert lab.one.file("usr/share/tool/version") == b"2-1"
    assert [one["status"] for one in lab.site.operations(lab.names[0])] == ["succeeded"]


def test_automatic_sync_begins_with_the_signature(
    fleet: Fleet, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = SignedLab(fleet, site, tmp_path, auto_sync=True)
    monkeypatch.setenv("GNUPGHOME", str(lab.keys.home))
    agent.run(lab.one, "once").ok()
    lab.trust()
    agent.run(lab.one, "once").ok()  # it says that it trusts a key
    lab.set_target()
    before = lab.one.state()
    for _ in range(2):
        agent.run(lab.one, "once").ok()
    assert lab.one.state() == before and site.operations(lab.names[0]) == []
    lab.sign(1)
    agent.run(lab.one, "once").ok()
    agent.run(lab.one, "once").ok()
    assert lab.one.state() == lab.two.state()
    lab.keys.stop()


def test_keys_are_listed_removed_and_refused_where_nobody_confirms(lab: SignedLab) -> None:
    assert agent.run(lab.one, "trust", "--list", "--json").ok().last["keys"] == []
    path = lab.directory / "operator.pgp"
    path.write_bytes(lab.keys.export(lab.key))
    done = agent.run(lab.one, "trust", path, "--json").refused(2)
    assert done.last["code"] == "not_confirmed"
    nonsense = lab.directory / "nonsense"
    nonsense.write_text("no key")
    assert agent.run(lab.one, "trust", nonsense, "--yes", "--json").refused(2).last["code"] == "key_invalid"
    assert (
        agent.run(lab.one, "trust", path, "--pool", "web", "--yes", "--json").refused(2).last["code"] == "pool_invalid"
    )
    out = agent.run(lab.one, "trust", path, "--yes").ok().out
    assert lab.key in out and "operator@example.invalid" in out and "Last accepted: none yet." in out
    directory = agent.state_dir(lab.one) / "trust"
    assert [oct(one.stat().st_mode & 0o777) for one in (directory, directory / "keys")] == ["0o700", "0o700"]
    lab.set_target()
    lab.sign(1)
    agent.run(lab.one, "sync").ok()
    assert agent.run(lab.one, "trust", "--list", "--json").ok().last["accepted"] == 1
    assert agent.run(lab.one, "trust", "--forget", "--yes", "--json").ok().last["accepted"] is None
    unknown = agent.run(lab.one, "trust", "--remove", "A" * 40, "--yes", "--json").refused(2)
    assert unknown.last["code"] == "key_missing"
    done = agent.run(lab.one, "trust", "--remove", lab.key, "--yes").ok()
    assert "It will follow every target" in done.out and "trusts no key" in done.out
    lab.two.install_file(lab.fleet.package("added", "1-1"))
    agent.run(lab.two, "set-latest", "--force").ok()
    assert agent.run(lab.one, "sync", "--json").code in {0, 3}
    assert lab.site.operations(lab.names[0])[0]["result"]["code"] != "revision_unsigned"


def test_sign_shows_what_the_text_says_and_signs_only_that(lab: SignedLab) -> None:
    lab.set_target()
    text = lab.sign(1)
    out = agent.run(lab.one, "sign", text, "--yes").ok().out
    assert f"Revision 1 of pool {lab.pool}" in out and "2 packages, 2 with the checksum of their file" in out
    assert "This machine has other packages than the text: tool." in out
    assert "exactly these packages" in agent.run(lab.two, "sign", text, "--yes").ok().out
    changed = lab.directory / "changed.txt"
    changed.write_bytes(text.read_bytes() + b"x\n")
    assert agent.run(lab.one, "sign", changed, "--yes", "--json").refused(2).last["code"] == "document_invalid"
    lines = text.read_text().split("\n")
    lines[3:5] = ["created 2020-01-01T00:00:00Z", "expires 2099-01-01T00:00:00Z"]
    changed.write_text("\n".join(lines))
    assert agent.run(lab.one, "sign", changed, "--yes", "--json").refused(3).last["code"] == "document_dated"
    text.with_name(f"{text.name}.asc").unlink()
    done = agent.run(lab.one, "sign", text, "--yes", "--key", "nobody", "--json").refused(1)
    assert done.last["code"] == "sign_failed"
    assert not text.with_name(f"{text.name}.asc").exists()


def test_command_of_the_server_gives_the_text_and_takes_the_signature(lab: SignedLab) -> None:
    lab.set_target()
    lab.trust()
    text = lab.directory / "text"
    done = manage(lab.site.database_url, "sign_revision", lab.pool, "--days", "5")
    assert done.returncode == 0, done.stderr
    text.write_text(done.stdout)
    lab.keys.gpg("--armor", "--detach-sign", text)  # plain gpg on the exact bytes
    files = ("--document", str(text), "--signature", f"{text}.asc")
    done = manage(lab.site.database_url, "sign_revision", lab.pool, *files)
    assert done.returncode == 0 and lab.key in done.stdout, done.stderr
    agent.run(lab.one, "sync").ok()
    assert lab.one.state() == lab.two.state()
    done = manage(lab.site.database_url, "sign_revision", lab.pool, "--remove")
    assert "no longer signed" in done.stdout
