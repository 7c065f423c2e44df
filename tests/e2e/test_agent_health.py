"""Health commands after a sync, with a revert and without: the real agent, pacman and server, killed at each step."""

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import agent
from tests.support.pacman import Fleet, Machine
from tests.support.sample import every
from tests.support.site import Site, running_site
from tests.support.wait import until

pytestmark = [pytest.mark.needs("pacman"), pytest.mark.needs("bash-static")]
FIRST, OLD, NEW = "2024/12/01", "2025/01/01", "2025/02/01"
BEFORE = {"tool": ("1-1", "explicit"), "gone": ("1-1", "dependency")}
AFTER = {"tool": ("2-1", "explicit"), "extra": ("1-1", "explicit")}
REVERTS = "revert_if_unhealthy = yes"
# Writes down that it ran; fails with the newer tool.
OLD_TOOL_ONLY = (
    'echo run >>/ran\nread -r version </usr/share/tool/version\necho "tool is $version"\n[ "$version" = 1-1 ]'
)


def health_command(machine: Machine, name: str, script: str, mode: int = 0o755) -> Path:
    """In the machine's root, with the shell that runs it there."""
    (machine.root / "bin").mkdir(exist_ok=True)
    if not (machine.root / "bin/bash").exists():
        shutil.copy("/bin/bash-static", machine.root / "bin/bash")
    path = machine.root / "etc/pacsync-agent.d/health" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(mode)
    return path


def said(text: str) -> list[str]:
    """The lines without what bash says of the locales, which its root doesn't have."""
    return [line for line in text.splitlines() if "setlocale" not in line]


def configured(machine: Machine, *lines: str) -> None:
    machine.agent_config("trust_target_files = yes", *lines)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    fleet = Fleet(tmp_path)
    make = fleet.package
    tool, gone = make("tool", "1-1"), make("gone", "1-1")
    fleet.snapshot(FIRST, [make("tool", "0-1")])
    fleet.snapshot(OLD, [tool, gone])
    fleet.snapshot(NEW, [make("tool", "2-1"), make("extra", "1-1")])
    return fleet


@pytest.fixture
def own_site(tmp_path: Path) -> Iterator[Site]:
    """A server for one test alone: what needs attention in more than three pools is one item, without names."""
    directory = tmp_path / "site"
    directory.mkdir()
    with running_site(directory) as running:
        yield running


class Pair:
    """`one` is to be synced to what `two` has; `name` is its endpoint's, `pool` that of both."""

    def __init__(self, site: Site, fleet: Fleet, **policy: Any) -> None:
        self.site = site
        self.one, self.two = fleet.machine("m1", OLD), fleet.machine("m2", NEW)
        self.one.install("tool", "gone", asdeps=["gone"])
        self.two.install("tool", "extra")
        self.pool = site.pool(**policy)
        self.name, self.two_name = site.enroll(self.pool, self.one, self.two)
        agent.run(self.two, "set-latest").ok()

    @property
    def operation(self) -> dict[str, Any]:
        """The newest operation, in full."""
        newest = self.site.operations(self.name)[0]
        return self.site.call("GET", f"/operations/{newest['id']}")

    def endpoint(self) -> dict[str, Any]:
        return self.site.call("GET", f"/endpoints/{self.name}")

    def failed(self) -> list[str]:
        """The endpoints of the pool that need attention because an operation failed."""
        found = self.site.call("GET", "/fleet")["attention"]
        return [one["endpoint"] for one in found if (one["pool"], one["kind"]) == (self.pool, "failed")]

    def runs(self) -> int:
        """How often the command of the tests ran."""
        return (self.one.file("ran") or b"").count(b"run")

    def assert_reverted(self) -> None:
        """Exactly as before the sync, and one failed operation says why."""
        assert self.one.state() == BEFORE
        assert self.one.problems() == [] and self.one.altered() == []
        for left in ("journal.json", "rehearsal", "health.json"):
            assert not (agent.state_dir(self.one) / left).exists()
        assert not (self.one.dbpath / "db.lck").exists()
        assert len(self.site.operations(self.name)) == 1
        operation = self.operation
        assert (operation["status"], operation["result"]["code"]) == ("failed", "health_check_reverted"), operation
        assert operation["retry_at"] is None
        cause, *details = operation["result"]["message"].splitlines()
        assert cause == "Health command 10-tool ended with status 1. So the sync was reverted."
        assert "10-tool: tool is 2-1" in details
        assert "[health command 10-tool ended with status 1]" in operation["result"]["log_tail"]


@pytest.fixture
def pair(site: Site, fleet: Fleet) -> Pair:
    return Pair(site, fleet)


def test_machine_without_health_commands_syncs_as_ever(pair: Pair) -> None:
    configured(pair.one, REVERTS)
    agent.run(pair.one, "sync").ok()
    assert pair.one.state() == AFTER
    assert "health" not in json.dumps(pair.operation)
    done = agent.run(pair.one, "health").ok()
    assert "There are no health commands: /etc/pacsync-agent.d/health has none." in done.out


def test_commands_that_pass_are_in_the_log_and_the_sync_succeeds(pair: Pair) -> None:
    configured(pair.one, REVERTS)
    health_command(pair.one, "10-tool", 'read -r version </usr/share/tool/version\necho "tool is $version"')
    agent.run(pair.one, "sync").ok()
    operation = pair.operation
    assert (operation["status"], operation["result"]["code"]) == ("succeeded", "")
    assert operation["result"]["log_tail"].endswith("tool is 2-1\n[health command 10-tool passed]\n")


def test_sync_is_reverted_exactly_and_automatic_sync_rests(own_site: Site, fleet: Fleet) -> None:
    pair = Pair(own_site, fleet, auto_sync=True, conflict_resolution="newest")
    configured(pair.one, REVERTS)
    health_command(pair.one, "10-tool", OLD_TOOL_ONLY)
    health_command(pair.one, "20-good", "echo fine")
    agent.run(pair.one, "once").refused(1)
    pair.assert_reverted()
    assert "fine\n[health command 20-good passed]" in pair.operation["result"]["log_tail"]
    for _ in range(2):
        agent.run(pair.one, "once").ok()
    pair.assert_reverted()
    assert pair.runs() == 1
    endpoint = pair.endpoint()
    assert endpoint["resting"]["why"] == "failed"
    assert endpoint["problems"] == []
    assert pair.failed() == [pair.name]
    listed = own_site.call("GET", f"/endpoints?pool={pair.pool}&last_result=unhealthy")["items"]
    assert [one["name"] for one in listed] == [pair.name]
    agent.run(pair.one, "revert").refused(3)  # there is no sync left to take back


def test_second_of_two_syncs_is_reverted_to_the_first(pair: Pair, fleet: Fleet) -> None:
    """Also by a person's own sync: back by one, not by two."""
    pair.two.go_to(OLD)
    pair.one.go_to(FIRST)
    pair.one.pacman("-Rn", "gone")
    pair.one.pacman("-Suu")
    pair.two.pacman("-Rn", "extra")
    pair.two.pacman("-Suu")
    agent.run(pair.two, "set-latest").ok()
    agent.run(pair.one, "sync").ok()
    middle = pair.one.state()
    assert middle == {"tool": ("1-1", "explicit")}
    pair.two.go_to(NEW)
    pair.two.upgrade()
    agent.run(pair.two, "set-latest").ok()
    configured(pair.one, REVERTS)
    health_command(pair.one, "10-tool", OLD_TOOL_ONLY)
    done = agent.run(pair.one, "sync").refused(1)
    assert "So the sync was reverted." in done.err and "10-tool: tool is 2-1" in done.err
    assert pair.one.state() == middle
    health_command(pair.one, "10-tool", "exit 0")
    agent.run(pair.one, "revert").ok()
    assert pair.one.state() == {"tool": ("0-1", "explicit")}


def test_without_the_setting_the_machine_stays_until_it_is_reverted_or_healthy(own_site: Site, fleet: Fleet) -> None:
    pair = Pair(own_site, fleet)
    configured(pair.one)
    health_command(pair.one, "10-tool", OLD_TOOL_ONLY)
    done = agent.run(pair.one, "sync").refused(1)
    assert "`pacsync-agent revert`" in done.err.replace(f" --config {pair.one.config}", "")
    assert pair.one.state() == AFTER
    operation = pair.operation
    assert (operation["status"], operation["result"]["code"]) == ("failed", "health_check_failed")
    assert [problem["code"] for problem in pair.endpoint()["problems"]] == ["health_check_failed"]
    assert pair.failed() == [pair.name]
    health_command(pair.one, "10-tool", "echo mended")
    assert "10-tool: passed" in agent.run(pair.one, "health").ok().out
    assert pair.endpoint()["problems"] == []
    assert pair.failed() == []
    agent.run(pair.one, "revert").ok()
    assert pair.one.state() == BEFORE


def test_revert_runs_the_commands_and_is_never_reverted_itself(pair: Pair) -> None:
    configured(pair.one, REVERTS)
    agent.run(pair.one, "sync").ok()
    health_command(pair.one, "10-tool", "exit 7")
    done = agent.run(pair.one, "revert").refused(1)
    assert "Health command 10-tool ended with status 7." in done.err
    assert pair.one.state() == BEFORE
    operation = pair.operation
    assert (operation["kind"], operation["status"]) == ("revert", "failed")
    assert operation["result"]["code"] == "health_check_failed"
    agent.run(pair.one, "revert").refused(3)  # it took the sync back all the same


def test_unhealthy_machine_becomes_a_target_only_if_it_is_forced(pair: Pair) -> None:
    health_command(pair.two, "10-tool", "echo broken\nexit 1")
    pair.two.pacman("-D", "--asdeps", "extra")
    done = agent.run(pair.two, "set-latest").refused(3)
    assert "When its health commands ran last, these failed: 10-tool." in done.err
    agent.run(pair.two, "set-latest", "--force").ok()


def test_health_says_which_pass_and_what_is_not_run(pair: Pair) -> None:
    health_command(pair.one, "10-good", "echo fine")
    health_command(pair.one, "20-bad", "echo first\necho last\nexit 4")
    health_command(pair.one, "30-plain", "exit 0", mode=0o644)
    done = agent.run(pair.one, "health").refused(1)
    assert said(done.out)[-6:] == [
        "warning: health command 30-plain wasn't run: it is not executable.",
        "10-good: passed",
        "20-bad: ended with status 4",
        "  first",
        "  last",
        "1 of 2 failed.",
    ]
    last = agent.run(pair.one, "health", "--json").refused(1).last
    assert (last["passed"], len(last["ignored"])) == (False, 1)
    result = last["results"][1]
    assert said(result.pop("output")) == ["first", "last"]
    assert result == {"name": "20-bad", "passed": False, "status": 4, "why": "ended with status 4"}
    assert [problem["names"] for problem in pair.endpoint()["problems"]] == [["20-bad"]]


def test_command_that_is_not_executable_is_a_warning_of_the_sync(pair: Pair) -> None:
    configured(pair.one, REVERTS)
    health_command(pair.one, "10-tool", "exit 1", mode=0o644)
    agent.run(pair.one, "sync").ok()
    operation = pair.operation
    assert operation["status"] == "succeeded"
    assert operation["result"]["message"] == "Warning: health command 10-tool wasn't run: it is not executable."


def test_command_that_hangs_ends_at_its_limit_and_the_sync_is_reverted(pair: Pair) -> None:
    configured(pair.one, REVERTS, "health_timeout = 1")
    health_command(pair.one, "10-tool", "echo waiting\nread -r -t 1000 word <> /never || true\nwhile :; do :; done")
    agent.run(pair.one, "sync").refused(1)
    assert pair.one.state() == BEFORE
    result = pair.operation["result"]
    assert result["code"] == "health_check_reverted"
    assert result["message"].startswith("Health command 10-tool didn't end within 1 s. So the sync was reverted.")


def test_revert_that_is_not_possible_says_why_and_is_possible_later(pair: Pair, fleet: Fleet) -> None:
    configured(pair.one, REVERTS)
    health_command(pair.one, "10-tool", OLD_TOOL_ONLY)
    pair.one.go_to(NEW)
    shutil.move(pair.one.cache, pair.one.directory / "aside")
    pair.one.cache.mkdir()
    for name in ("tool-1-1-any.pkg.tar.zst", "gone-1-1-any.pkg.tar.zst"):
        (fleet.pool / name).unlink()
    agent.run(pair.one, "sync").refused(1)
    assert pair.one.state() == AFTER
    operation = pair.operation
    assert (operation["status"], operation["result"]["code"]) == ("failed", "health_revert_failed")
    message = operation["result"]["message"]
    assert message.startswith("Health command 10-tool ended with status 1. The sync couldn't be reverted: ")
    assert "gone" in message and "tool" in message
    assert "Then run `pacsync-agent revert" in operation["result"]["hint"]
    assert not (agent.state_dir(pair.one) / "journal.json").exists()
    for path in (pair.one.directory / "aside").iterdir():
        shutil.move(path, pair.one.cache / path.name)
    pair.one.go_to(OLD)
    agent.run(pair.one, "revert").ok()
    assert pair.one.state() == BEFORE


# Before the commands, while the journal says that they failed, and at each step of the revert.
POINTS = [
    "pacman:ended",
    "enter:verify",
    "before:revert",
    "enter:revert",
    "enter:apply:2",
    "pacman:cut:downgrading tool",
    "pacman:cut:installing gone",
    "pacman:ended:2",
    "enter:settle:2",
    "enter:verify:2",
    "enter:report",
    "sent:/result",
    "close",
]


@pytest.mark.parametrize("point", every(2, POINTS))
def test_agent_killed_around_the_revert_reverts_exactly_once(pair: Pair, point: str) -> None:
    configured(pair.one, REVERTS)
    health_command(pair.one, "10-tool", OLD_TOOL_ONLY)
    killed = agent.run_killed_at(pair.one, point, "sync")
    assert killed.code == -signal.SIGKILL, killed
    agent.run(pair.one, "once")
    pair.assert_reverted()
    assert pair.runs() == (2 if point == "before:revert" else 1)
    agent.run(pair.one, "once").ok()
    pair.assert_reverted()


@pytest.mark.parametrize("point", ["enter:revert", "enter:apply:2"])
def test_reboot_around_the_revert_ends_in_the_state_before(pair: Pair, point: str) -> None:
    configured(pair.one, REVERTS)
    health_command(pair.one, "10-tool", OLD_TOOL_ONLY)
    assert agent.run_killed_at(pair.one, point, "sync").code == -signal.SIGKILL
    journal = agent.state_dir(pair.one) / "journal.json"
    journal.write_text(json.dumps({**json.loads(journal.read_text()), "boot": "of-another-boot"}))
    agent.run(pair.one, "once")
    pair.assert_reverted()


def test_packages_that_somebody_changed_before_the_revert_stay(pair: Pair) -> None:
    configured(pair.one, REVERTS)
    health_command(pair.one, "10-tool", OLD_TOOL_ONLY)
    assert agent.run_killed_at(pair.one, "enter:revert", "sync").code == -signal.SIGKILL
    pair.one.pacman("-Rn", "extra")
    agent.run(pair.one, "once")
    assert pair.one.state() == {"tool": ("2-1", "explicit")}
    result = pair.operation["result"]
    assert result["code"] == "health_revert_failed"
    assert "The packages of this machine were changed after the sync." in result["message"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_during_a_command_ends_it_and_the_next_start_does_the_rest(pair: Pair, number: signal.Signals) -> None:
    configured(pair.one, REVERTS)
    health_command(pair.one, "10-tool", "echo $$ >/pid\nwhile :; do read -r -t 1 word <> /never || true; done")
    process = agent.start(pair.one, "sync")
    until(lambda: (pair.one.file("pid") or b"").endswith(b"\n"), 60)
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number, out
    assert "the next start does it again and ends the operation" in out
    assert not Path(f"/proc/{int(pair.one.file('pid') or b'')}").exists()
    assert pair.operation["status"] == "applying"
    health_command(pair.one, "10-tool", OLD_TOOL_ONLY)
    agent.run(pair.one, "once")
    pair.assert_reverted()
