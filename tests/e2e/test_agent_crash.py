"""An agent that is killed with -9 at any step, and started again, converges: finished, verified and reported."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.e2e.two_machines import endpoint_name
from tests.support import agent
from tests.support.pacman import Fleet, Machine, pacman_pid
from tests.support.sample import every
from tests.support.site import Site
from tests.support.wait import until

pytestmark = pytest.mark.needs("pacman")
OLD, NEW = "2025/01/01", "2025/02/01"


def many_files(name: str, count: int, version: str) -> dict[str, bytes]:
    return {f"usr/share/{name}/{number}": version.encode() for number in range(count)}


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """What all tests sync to: an upgrade, an installation, a removal, a reason, a rename. It takes a second to make."""
    fleet = Fleet(tmp_path_factory.mktemp("target"))
    make = fleet.package
    first = [make("lib", "1-1"), make("app", "1-1", depends=["lib=1"]), make("old", "1-1"), make("gone", "1-1")]
    second = [
        make("lib", "2-1", files=many_files("lib", 50, "2")),
        make("app", "2-1", depends=["lib=2"]),
        make("new", "1-1", conflicts=["old"], provides=["old=1"], replaces=["old"], files=many_files("new", 3000, "1")),
        make("zlast", "1-1"),
    ]
    fleet.snapshot(OLD, first)
    fleet.snapshot(NEW, second)
    machine = fleet.machine("m2", NEW)
    machine.install("app", "new", "zlast")
    machine.pacman("-D", "--asdeps", "new")
    return machine


@pytest.fixture
def pair(tmp_path: Path, site: Site, target: Machine) -> tuple[Machine, Machine]:
    """Two enrolled machines of the test's own; the second is the target."""
    fleet = target.fleet.beside(tmp_path)
    one = fleet.machine("m1", OLD)
    one.install("app", "old", "gone")
    two = target.linked_copy(fleet, NEW)
    site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    return one, two


def assert_converged(one: Machine, two: Machine) -> None:
    assert one.state() == two.state()
    assert one.problems() == []
    assert not (one.dbpath / "db.lck").exists()
    assert not (agent.state_dir(one) / "journal.json").exists()
    assert not (agent.state_dir(one) / "rehearsal").exists()
    assert one.file("usr/share/new/2999") == b"1"
    assert one.file("usr/share/lib/49") == b"2"
    assert one.file("usr/share/lib/version") is None
    assert one.file("usr/share/gone/version") is None


POINTS = [
    "enter:create",
    "sent:/operations",
    "enter:claim",
    "sent:/claim",
    "enter:gather",
    "before:apply",
    "enter:apply",
    "sent:/heartbeat",
    "pacman:started",
    "pacman:ended",
    "enter:settle",
    "enter:verify",
    "enter:report",
    "sent:/result",
    "close",
]
# `make test` tries each point with one of the two, in turn.
AGAIN = (("once", "sync"), ("sync", "once"))
KILLS = [(point, again) for number, point in enumerate(POINTS) for again in AGAIN[number % 2]]


@pytest.mark.parametrize(("point", "again"), every(2, KILLS))
def test_agent_killed_at_a_step_and_started_again_converges(
    site: Site, pair: tuple[Machine, Machine], point: str, again: str
) -> None:
    one, two = pair
    killed = agent.run_killed_at(one, point, "sync")
    assert killed.code == -signal.SIGKILL, killed
    agent.run(one, again).ok()
    assert_converged(one, two)
    operations = site.operations(endpoint_name(one))
    assert [operation["status"] for operation in operations] == ["succeeded"], operations
    assert "nothing to do" in agent.run(one, "sync").ok().out


@pytest.mark.needs("bash-static")
def test_pacman_of_a_killed_agent_ends_while_the_next_looks_at_its_lock(pair: tuple[Machine, Machine]) -> None:
    one, two = pair
    one.slow_down(60)
    assert agent.run_killed_at(one, "pacman:started", "sync").code == -signal.SIGKILL
    log = one.directory / "pacman.log"
    until(lambda: log.exists() and "running 'slow.hook'" in log.read_text(), 60)
    (one.directory / "hooks" / "slow.hook").unlink()  # pacman has it; the next one need not wait
    done = agent.run_killed_at(one, "slow-look", "once").ok()
    assert "pacman ended during the look" in done.out
    assert_converged(one, two)


@pytest.mark.parametrize("text", ["removing", "upgrading lib", "installing new", "installing zlast"])
def test_agent_and_pacman_killed_in_the_middle_converge(site: Site, pair: tuple[Machine, Machine], text: str) -> None:
    one, two = pair
    killed = agent.run_killed_at(one, f"pacman:cut:{text}", "sync")
    assert killed.code == -signal.SIGKILL, killed
    agent.run(one, "once").ok()
    assert_converged(one, two)


@pytest.mark.parametrize("again", ["once", "sync"])
@pytest.mark.parametrize("packages", ["all", "none"])
def test_agent_and_pacman_killed_while_reasons_are_set_converge(
    pair: tuple[Machine, Machine], packages: str, again: str
) -> None:
    """Before the transaction, or where there is nothing but reasons to set."""
    one, two = with_reasons_to_set(pair, packages)
    assert agent.run_killed_at(one, "reasons:both", "sync").code == -signal.SIGKILL
    assert (one.dbpath / "db.lck").exists()
    agent.run(one, again).ok()
    assert_converged(one, two)


@pytest.mark.parametrize("packages", ["all", "none"])
def test_pacman_killed_while_it_sets_reasons_under_a_living_agent_is_run_again(
    pair: tuple[Machine, Machine], packages: str
) -> None:
    one, two = with_reasons_to_set(pair, packages)
    assert "killed pacman -D" in agent.run_killed_at(one, "reasons:pacman", "sync").ok().err
    assert_converged(one, two)


def with_reasons_to_set(pair: tuple[Machine, Machine], packages: str) -> tuple[Machine, Machine]:
    one, _ = pair
    if packages == "none":
        agent.run(one, "sync").ok()
    one.pacman("-D", "--asdeps", "app")
    return pair


def test_agent_killed_while_it_repairs_an_entry_the_next_one_removes_its_lock(pair: tuple[Machine, Machine]) -> None:
    one, two = pair
    assert agent.run_killed_at(one, "pacman:cut:installing new", "sync").code == -signal.SIGKILL
    for desc in one.dbpath.glob("local/lib-*/desc"):
        desc.unlink()
    assert agent.run_killed_at(one, "repairing", "once").code == -signal.SIGKILL
    assert (one.dbpath / "db.lck").exists()
    agent.run(one, "once").ok()
    assert_converged(one, two)


def test_agent_killed_while_it_repairs_an_entry_without_a_journal_leaves_no_lock_for_good(
    pair: tuple[Machine, Machine],
) -> None:
    one, _ = pair
    for desc in one.dbpath.glob("local/lib-*/desc"):
        desc.write_bytes(b"")
    assert agent.run_killed_at(one, "repairing", "sync", "--repair").code == -signal.SIGKILL
    assert (one.dbpath / "db.lck").exists()
    agent.run(one, "once").ok()
    assert not (one.dbpath / "db.lck").exists()
    agent.run(one, "sync", "--repair").ok()
    assert one.problems() == []


def test_agent_killed_while_it_says_what_goes_the_next_one_finishes(pair: tuple[Machine, Machine]) -> None:
    one, two = pair
    assert agent.run_killed_at(one, "going", "sync").code == -signal.SIGKILL
    assert (one.dbpath / "db.lck").exists()
    agent.run(one, "once").ok()
    assert_converged(one, two)


def test_entry_of_what_should_go_is_as_it_was_where_it_stays(pair: tuple[Machine, Machine]) -> None:
    """Killed when it has said what goes; then pacman refuses, because a file is in the way."""
    one, _ = pair
    entry = next(one.dbpath.glob("local/gone-*")) / "desc"
    before = entry.read_bytes()
    assert agent.run_killed_at(one, "going", "sync").code == -signal.SIGKILL
    assert entry.read_bytes() != before
    own = one.root / "usr/share/new/7"
    own.parent.mkdir(parents=True)
    own.write_text("my own")
    assert "exists in filesystem" in agent.run(one, "sync").refused(1).err
    assert entry.read_bytes() == before
    assert own.read_text() == "my own"
    assert not (one.dbpath / "db.lck").exists()


@pytest.mark.parametrize("text", ["resolving", "looking for", "checking"])
def test_killed_before_anything_changed_a_file_of_ones_own_is_not_overwritten(
    site: Site, pair: tuple[Machine, Machine], text: str
) -> None:
    one, _ = pair
    before = one.state()
    own = one.root / "usr/share/new/7"
    own.parent.mkdir(parents=True)
    own.write_text("my own")
    killed = agent.run_killed_at(one, f"pacman:cut:{text}", "sync")
    assert killed.code == -signal.SIGKILL, killed
    refused = agent.run(one, "sync").refused(1)
    assert "exists in filesystem" in refused.err
    assert own.read_text() == "my own"
    assert one.state() == before


def test_reader_of_the_output_goes_away_the_sync_is_finished(site: Site, pair: tuple[Machine, Machine]) -> None:
    one, two = pair
    process = agent.start(one, "sync")
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=100) == 0
    assert_converged(one, two)


def test_pacman_killed_under_a_living_agent_is_finished_by_it(pair: tuple[Machine, Machine]) -> None:
    one, two = pair
    process = agent.start(one, "sync")
    log = agent.state_dir(one) / "pacman.log"
    pid = None
    while process.poll() is None and pid is None:
        if log.exists() and "installing new" in log.read_text():
            pid = pacman_pid(one)
            if pid:
                os.kill(pid, signal.SIGKILL)
    out, _ = process.communicate(timeout=100)
    assert process.returncode == 0, out
    assert_converged(one, two)


@pytest.mark.needs("bash-static")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_signal_while_pacman_runs_waits_for_it_and_finishes(
    pair: tuple[Machine, Machine], number: signal.Signals
) -> None:
    one, two = pair
    one.slow_down(3)
    process = agent.start(one, "sync")
    deadline = time.monotonic() + 60
    while pacman_pid(one) is None or not (one.dbpath / "db.lck").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, number)  # Ctrl-C reaches the whole group
    out, _ = process.communicate(timeout=100)
    assert process.returncode == 0, out
    assert_converged(one, two)


@pytest.mark.needs("bash-static")
def test_agent_killed_while_pacman_runs_the_next_one_waits_for_it(pair: tuple[Machine, Machine]) -> None:
    one, two = pair
    one.slow_down(3)
    agent.run_killed_at(one, "pacman:started", "sync")
    done = agent.run(one, "once").ok()
    assert "waiting for it" in done.out
    assert_converged(one, two)
    assert (one.directory / "pacman.log").read_text().count("transaction started") == 2  # -S, ours
