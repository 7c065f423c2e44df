"""A hook that has the agent stopped and waits for its end, and a pacman that is killed whenever it starts."""

import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.two_machines import endpoint_name, two_machines
from tests.support import agent, direct
from tests.support.pacman import Machine, pacman_pid
from tests.support.site import Site
from tests.support.wait import until

pytestmark = pytest.mark.needs("pacman", "bash-static")

# What `systemctl restart pacsync-agent` in a hook does: a signal, and waiting for the end of who got it; here not for
# ever, and the answer is written down.
RESTART = """#!/bin/bash
for i in {1..600}; do [ ! -s /agent.pid ] || break; read -t 0.1 word <>/never; done
read -r pid </agent.pid
kill -%s "$pid"
for i in {1..%s0}; do kill -0 "$pid" 2>/dev/null || { echo gone >/answer; exit; }; read -t 0.1 word <>/never; done
echo 'still there' >/answer
"""


@pytest.fixture
def one(site: Site, tmp_path: Path) -> Machine:
    """An enrolled machine that is behind its pool, with a root in which hooks can run."""
    one, two = two_machines(tmp_path)
    site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    direct.record_hooks(one)
    one.slow_down(0)  # makes the FIFO
    return one


def hook(machine: Machine, when: str, script: str) -> None:
    path = machine.root / "script"
    path.write_text(script)
    path.chmod(0o755)
    text = f"{direct.EVERYTHING}[Action]\nWhen = {when}\nExec = /bin/bash /script\n"
    (machine.directory / "hooks" / "script.hook").write_text(text)


def run_with_restart(machine: Machine, command: str, number: signal.Signals, seconds: int) -> tuple[int, str]:
    """The agent's exit status and the hook's answer, after that many seconds at most."""
    hook(machine, "PostTransaction", RESTART % (number.name[3:], seconds))
    process = agent.start(machine, command)
    (machine.root / "agent.pid").write_text(f"{process.pid}\n")
    process.communicate(timeout=100)
    until(lambda: bool(machine.file("answer")) and pacman_pid(machine) is None, 30)
    return process.returncode, (machine.file("answer") or b"").decode().strip()


@pytest.mark.parametrize(("command", "code"), [("run", 0), ("sync", 128 + signal.SIGTERM)])
def test_hook_that_restarts_the_agent_does_not_wait_for_itself(
    site: Site, one: Machine, command: str, code: int
) -> None:
    if command == "run":
        site.call("POST", "/operations", {"kind": "sync", "endpoint": endpoint_name(one)})
    assert run_with_restart(one, command, signal.SIGTERM, 60) == (code, "gone")
    assert (agent.state_dir(one) / "journal.json").exists()
    agent.run(one, "once").ok()
    assert set(one.state()) == {"tool", "extra"}
    assert len(direct.recorded(one)) == 1
    assert [operation["status"] for operation in site.operations(endpoint_name(one))] == ["succeeded"]
    assert not (agent.state_dir(one) / "rehearsal").exists()
    assert not list(one.dbpath.glob("sync/pacsync*"))


def test_hook_that_waits_for_an_agent_that_stays_waits_in_vain(one: Machine) -> None:
    """What SIGTERM would do if the agent waited for pacman, as it does after Ctrl-C."""
    _, answer = run_with_restart(one, "sync", signal.SIGINT, 2)
    assert answer == "still there"


def test_pacman_that_is_killed_each_time_leaves_no_lock_and_nothing_changed(one: Machine) -> None:
    before = one.state()
    hook(one, "PreTransaction", "#!/bin/bash\nkill -9 $PPID\n")
    done = agent.run(one, "sync", "--json").refused(1)
    assert done.last["code"] == "pacman_failed" and "Nothing was changed." in done.last["message"], done
    assert one.state() == before
    assert not (one.dbpath / "db.lck").exists()
    (one.directory / "hooks" / "script.hook").unlink()
    agent.run(one, "sync").ok()


def test_lock_of_a_killed_pacman_that_is_not_ours_stays(one: Machine, tmp_path: Path) -> None:
    hook(one, "PreTransaction", "#!/bin/bash\nkill -9 $PPID\n")
    subprocess.run(["pacman", "--config", one.config, "-S", "--noconfirm", "tool"], capture_output=True, check=False)
    lock = one.dbpath / "db.lck"
    for command in ("sync", "diff", "set-latest"):
        assert agent.run(one, command, "--json").refused(6).last["code"] == "database_locked"
    assert lock.exists()
    lock.unlink()  # as the last step of the hint says
    (one.directory / "hooks" / "script.hook").unlink()
    agent.run(one, "sync").ok()


def test_hook_that_hangs_is_named_with_its_start(one: Machine) -> None:
    """By `status`, and by `once` when it has waited long enough."""
    hook(one, "PostTransaction", "#!/bin/bash\nwhile [ ! -e /go-on ]; do read -t 0.1 word <>/never; done\n")
    process = agent.start(one, "sync")
    log = one.directory / "pacman.log"
    until(lambda: "running 'script.hook'" in log.read_text(), 60)
    process.send_signal(signal.SIGTERM)
    assert "pacman continues" in process.communicate(timeout=60)[0]
    [since] = [line[1:25] for line in log.read_text().splitlines() if "running 'script.hook'" in line]
    said = agent.run(one, "status").ok().out
    assert f"pacman is at work, in its hook script.hook since {since}" in said
    assert f"script.hook since {since}: try again later" in agent.run(one, "once", "--wait", "0.3").ok().out
    (one.root / "go-on").touch()
    agent.run(one, "once").ok()
    assert set(one.state()) == {"tool", "extra"}
    assert "pacman is at work" not in agent.run(one, "status").ok().out
