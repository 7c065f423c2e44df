"""A newer keyring comes first: packages signed with a key that only it knows, with real pacman, pacman-key and gpg."""

import os
import signal
from collections.abc import Iterator

import pytest

from tests.e2e.keyring_lab import POPULATE, KeyringLab
from tests.support import agent
from tests.support.sample import every
from tests.support.site import Site

pytestmark = [
    pytest.mark.needs("pacman", "pacman-key", "gpg"),
    pytest.mark.skipif(os.geteuid() != 0, reason="pacman-key and a chroot need root"),
]
STAYS = "test-keyring 2-1 was installed first, and stays; everything else is as it was."


@pytest.fixture
def lab(site: Site) -> Iterator[KeyringLab]:
    made = KeyringLab(site)
    yield made
    made.stop()


def assert_updated(lab: KeyringLab) -> None:
    assert lab.one.state() == lab.two.state()
    assert lab.versions() == {"test-keyring": "2-1", "tool": "2-1"}
    assert lab.knows(lab.added)
    assert lab.one.problems() == []
    assert not (lab.one.dbpath / "db.lck").exists()
    for name in ("journal.json", "rehearsal"):
        assert not (agent.state_dir(lab.one) / name).exists()
    assert "nothing to do" in agent.run(lab.one, "sync").ok().out


def test_package_signed_with_a_key_of_the_newer_keyring_is_installed_after_it(lab: KeyringLab) -> None:
    lab.usual_update()
    assert not lab.knows(lab.added)
    before = lab.transactions()
    done = agent.run(lab.one, "sync").ok()
    assert "The keyring comes first: test-keyring 2-1." in done.out
    assert lab.transactions() == before + 2
    log = (lab.one.directory / "pacman.log").read_text()
    assert log.index("upgraded test-keyring (1-1 -> 2-1)") < log.index("upgraded tool (1-1 -> 2-1)")
    [operation] = lab.site.operations(lab.name)
    assert operation["status"] == "succeeded", operation
    said = lab.site.call("GET", f"/operations/{operation['id']}")["result"]["log_tail"]
    assert "upgrading test-keyring..." in said and "upgrading tool..." in said
    assert_updated(lab)


def test_rehearsal_of_both_changes_nothing_and_leaves_no_copy_of_the_keyring(lab: KeyringLab) -> None:
    lab.usual_update()
    before, copies = lab.versions(), set(os.listdir("/run"))
    assert "Rehearsed" in agent.run(lab.one, "diff", "--rehearse").ok().out
    assert lab.versions() == before and not lab.knows(lab.added)
    assert {name for name in set(os.listdir("/run")) - copies if name.startswith("pacsync-gpg-")} == set()
    assert not (agent.state_dir(lab.one) / "rehearsal").exists()


def test_package_that_the_newer_keyring_refuses_too_is_refused_before_anything_changes(lab: KeyringLab) -> None:
    stranger = lab.packager.make("stranger")
    lab.update(
        lab.signed(lab.keyring("2-1", lab.known, lab.added)),
        lab.signed(lab.fleet.package("tool", "2-1"), stranger),
    )
    before = lab.transactions()
    done = agent.run(lab.one, "sync", "--json").refused(3)
    assert done.last["code"] == "signature_invalid" and "tool 2-1" in done.last["message"]
    assert lab.versions() == {"test-keyring": "1-1", "tool": "1-1"}
    assert lab.transactions() == before and not lab.knows(lab.added)


def test_keyring_signed_with_a_key_that_is_not_known_here_is_refused(lab: KeyringLab) -> None:
    """Rule 1 of docs/agent.md: only the keyring that is here vouches for the newer one."""
    lab.update(
        lab.signed(lab.keyring("2-1", lab.known, lab.added), lab.added),
        lab.signed(lab.fleet.package("tool", "2-1"), lab.added),
    )
    done = agent.run(lab.one, "sync", "--json").refused(3)
    assert done.last["code"] == "signature_invalid" and "test-keyring 2-1" in done.last["message"]
    assert lab.versions() == {"test-keyring": "1-1", "tool": "1-1"} and not lab.knows(lab.added)


def test_package_signed_with_a_key_that_the_newer_keyring_revokes_is_refused(lab: KeyringLab) -> None:
    lab.update(
        lab.signed(lab.keyring("2-1", lab.known, lab.added, revoked=lab.known)),
        lab.signed(lab.fleet.package("tool", "2-1")),
    )
    done = agent.run(lab.one, "sync", "--json").refused(3)
    assert done.last["code"] == "signature_invalid" and "tool 2-1" in done.last["message"]
    assert lab.versions() == {"test-keyring": "1-1", "tool": "1-1"}


def test_new_keyring_of_another_repository_comes_first_as_well(lab: KeyringLab) -> None:
    install = POPULATE.replace("test", "custom")
    lab.update(
        *lab.old,
        lab.signed(lab.keyring("1-1", lab.added, name="custom", install=install)),
        lab.signed(lab.fleet.package("gnome-keyring", "1-1"), lab.added),
    )
    done = agent.run(lab.one, "sync").ok()
    assert "The keyring comes first: custom-keyring 1-1." in done.out
    assert lab.one.state() == lab.two.state() and lab.knows(lab.added)


def test_keyring_that_needs_another_package_of_the_target_comes_with_it(lab: KeyringLab) -> None:
    lab.update(
        lab.signed(lab.keyring("2-1", lab.known, lab.added, depends=["tool=2"])),
        lab.signed(lab.fleet.package("tool", "2-1")),
    )
    before = lab.transactions()
    done = agent.run(lab.one, "sync").ok()
    assert "test-keyring 2-1 can't be installed before the other packages" in done.out
    assert lab.transactions() == before + 1
    assert lab.one.state() == lab.two.state() and lab.knows(lab.added)


def test_keyring_alone_is_one_transaction(lab: KeyringLab) -> None:
    lab.update(lab.signed(lab.keyring("2-1", lab.known, lab.added)), lab.old[1])
    before = lab.transactions()
    agent.run(lab.one, "sync").ok()
    assert lab.transactions() == before + 1 and lab.knows(lab.added)


def test_second_transaction_that_fails_leaves_the_keyring_and_says_so(lab: KeyringLab) -> None:
    """Then a repeat brings the rest, and reverting takes both back: an older keyring comes in the one transaction."""
    lab.update(*lab.old, lab.signed(lab.fleet.package("extra", "1-1")))
    agent.run(lab.one, "sync").ok()
    tool = lab.signed(lab.fleet.package("tool", "2-1", files={"usr/share/tool/own": b"2"}), lab.added)
    lab.update(lab.signed(lab.keyring("2-1", lab.known, lab.added)), tool, lab.fleet.package("extra", "1-1"))
    own = lab.one.root / "usr/share/tool/own"
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_text("my own")
    done = agent.run(lab.one, "sync").refused(1)
    assert "exists in filesystem" in done.err and STAYS in done.err
    assert lab.versions() == {"test-keyring": "2-1", "tool": "1-1", "extra": "1-1"}
    assert own.read_text() == "my own"
    failed = lab.site.operations(lab.name)[0]
    assert (failed["status"], failed["result"]["code"]) == ("failed", "file_conflict")
    assert STAYS in failed["result"]["message"]
    assert STAYS in agent.run(lab.one, "status").ok().out
    own.unlink()
    before = lab.transactions()
    agent.run(lab.one, "sync").ok()
    assert lab.transactions() == before + 1
    assert lab.one.state() == lab.two.state()
    agent.run(lab.one, "revert").ok()
    assert lab.versions() == {"test-keyring": "2-1", "tool": "1-1", "extra": "1-1"}
    before = lab.transactions()
    agent.run(lab.one, "revert").ok()  # the sync before
    assert lab.versions() == {"test-keyring": "1-1", "tool": "1-1"}
    assert lab.transactions() == before + 1


def test_keys_that_the_scriptlet_does_not_take_in_stop_the_second_transaction(lab: KeyringLab) -> None:
    """The copy of the rehearsal knew them; the machine's own keyring decides."""
    lab.update(
        lab.signed(lab.keyring("2-1", lab.known, lab.added, install="post_upgrade() { false; }\n")),
        lab.signed(lab.fleet.package("tool", "2-1"), lab.added),
    )
    done = agent.run(lab.one, "sync", "--json").refused(1)
    assert done.last["code"] == "signature_invalid" and STAYS in done.last["message"]
    assert lab.versions() == {"test-keyring": "2-1", "tool": "1-1"}
    result = lab.site.operations(lab.name)[0]["result"]
    assert "Warning: " in result["message"] and "test-keyring" in result["message"]


# Where the agent is killed (tests/support/agent_driver.py); `:2` is the second time that it comes there.
POINTS = [
    "pacman:started",
    "pacman:ended",
    "enter:settle",
    "enter:verify",
    "before:apply:2",
    "enter:apply:2",
    "pacman:ended:2",
    "pacman:cut:upgrading test-keyring",
    "pacman:cut:upgrading tool",
    "enter:settle:2",
    "enter:report",
    "close",
]


@pytest.mark.parametrize("point", every(2, POINTS))
def test_agent_killed_between_the_transactions_finishes_both(lab: KeyringLab, point: str) -> None:
    lab.usual_update()
    killed = agent.run_killed_at(lab.one, point, "sync")
    assert killed.code == -signal.SIGKILL, killed
    agent.run(lab.one, "once").ok()
    operations = lab.site.operations(lab.name)
    assert [operation["status"] for operation in operations] == ["succeeded"], operations
    assert_updated(lab)


@pytest.mark.parametrize("point", ["enter:verify", "enter:apply:2"])
def test_agent_killed_between_the_transactions_says_what_it_can_not_finish(lab: KeyringLab, point: str) -> None:
    lab.usual_update()
    assert agent.run_killed_at(lab.one, point, "sync").code == -signal.SIGKILL
    for path in [*lab.one.cache.glob("tool-2*"), *lab.fleet.archive.rglob("tool-2*")]:
        path.unlink()
    agent.run(lab.one, "once")
    assert lab.versions() == {"test-keyring": "2-1", "tool": "1-1"}
    [operation] = lab.site.operations(lab.name)
    assert operation["status"] == "failed" and STAYS in operation["result"]["message"]
    assert not (agent.state_dir(lab.one) / "journal.json").exists()
    assert lab.one.problems() == []


@pytest.mark.parametrize("point", ["", "enter:revert"])
def test_sync_that_its_health_commands_refuse_is_reverted_to_before_the_keyring(lab: KeyringLab, point: str) -> None:
    lab.usual_update()
    before = lab.one.state()
    lab.one.agent_config("revert_if_unhealthy = yes")
    command = lab.one.root / "etc/pacsync-agent.d/health/10-bad"
    command.parent.mkdir(parents=True)
    command.write_text("#!/bin/sh\nexit 1\n")
    command.chmod(0o755)
    if point:
        assert agent.run_killed_at(lab.one, point, "sync").code == -signal.SIGKILL
        assert lab.versions() == {"test-keyring": "2-1", "tool": "2-1"}
    agent.run(lab.one, "once" if point else "sync").refused(1)
    assert lab.one.state() == before and lab.versions() == {"test-keyring": "1-1", "tool": "1-1"}
    [operation] = lab.site.operations(lab.name)
    assert operation["status"] == "failed"
    result = lab.site.call("GET", f"/operations/{operation['id']}")["result"]
    assert result["code"] == "health_check_reverted", result
