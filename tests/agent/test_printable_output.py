"""Nothing that a server, a mirror, a package or a file name says controls a terminal, whichever command prints it."""

import contextlib
import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apps.agent.pacsync_agent import settings
from apps.agent.pacsync_agent.cli import waybar
from apps.agent.pacsync_agent.cli.command_list import COMMANDS
from apps.agent.pacsync_agent.errors import AgentError, Failed
from apps.agent.pacsync_agent.terminal.hints import Hints
from apps.agent.pacsync_agent.terminal.listing import listed, named_and
from apps.agent.pacsync_agent.terminal.output import Output
from tests.support import agent
from tests.support.hostile import Hostile, Peer
from tests.support.pacman import Fleet, Machine
from tests.support.wait import until

EVIL = "x\x1b]0;t\x07\n\rforged\x9b2J\u202e\u2066\udc9b"
ID = "0193b1a0-0000-7000-8000-000000000001"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


SAID: dict[str, Callable[[Output], None]] = {
    "line": lambda output: output.line(EVIL),
    "warn": lambda output: output.warn(EVIL),
    "result": lambda output: output.result(f"m1: in sync {EVIL}", name=EVIL),
    "phase": lambda output: output.progress(EVIL, 1, 2),
    "hosts": lambda output: output.progress("downloading", 1, 2, hosts=[f"https://{EVIL}"], waiting=EVIL, package=EVIL),
    "waybar": lambda output: output.raw_json(waybar.failure(AgentError("x", EVIL))),
    "error": lambda output: output.error(Failed(EVIL, EVIL, EVIL)),
}


@pytest.mark.parametrize("kind", SAID)
@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("as_json", [True, False])
def test_output_has_only_its_own_sequences(
    kind: str, terminal: bool, as_json: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    output = Output(as_json=as_json, stream=stream)
    output.hints = Hints()
    SAID[kind](output)
    output.finish_line()
    said = stream.getvalue()
    for own in ("\r\033[K", "\033[33m", "\033[1;31m", "\033[32m", "\033[0m"):
        said = said.replace(own, "")
    assert said.replace("\n", "").isprintable(), said
    assert "forged" in said
    if as_json or kind == "waybar":
        assert said.count("\n") == 1 and isinstance(json.loads(said), dict)
    elif kind in {"warn", "error"}:
        assert not any(line.startswith("forged") for line in said.splitlines())


def test_names_in_a_sentence_stay_on_its_line() -> None:
    assert listed([EVIL, "b"]).isprintable() and named_and([EVIL, "b"]).isprintable()


def test_waybar_gets_no_markup_of_others() -> None:
    known = {"name": "m1<b>", "status": "behind", "pool": "a&b", "target": {"number": 1}, "difference": {"upgrade": 1}}
    assert waybar.status(known)["tooltip"] == ("m1&lt;b&gt;: behind the target (pool a&amp;b, revision 1)\n1 upgrade")
    assert waybar.failure(AgentError("x", "<span>\x1b"))["tooltip"] == "&lt;span&gt;?"


# --- every command, with a server whose texts are all hostile

OPERATION = {
    "id": ID, "kind": "sync", "status": "queued", "base_state": EVIL, "target_state": EVIL, "plan": {"upgrade": 1},
    "pool": EVIL, "retry_at": EVIL, "result": {"outcome": EVIL, "code": EVIL, "message": EVIL, "log_tail": EVIL},
}  # fmt: skip
ENDED = OPERATION | {"status": "failed"}
LISTED = [{"name": EVIL, "why": EVIL}]
ME = {
    "name": "m1", "status": EVIL, "why": EVIL, "pool": "lab", "target": {"number": 3, "approved": False},
    "difference": {"upgrade": 1}, "holds": [EVIL], "foreign": [EVIL], "unmanaged": LISTED, "refused": LISTED,
    "problems": [{"code": EVIL, "text": EVIL}],
    "last_failure": dict.fromkeys(("operation", "kind", "status", "code", "finished", "message"), EVIL),
    "resting": dict.fromkeys(("why", "operation", "since"), EVIL), "operation": OPERATION,
}  # fmt: skip
VERSION = {"version": EVIL, "arch": EVIL, "reason": EVIL}
CHANGE = {"name": EVIL, "change": "upgrade", "from": VERSION, "to": VERSION}
DIFF = {"equal": False, "counts": {"upgrade": 1}, "kept": {"held": [EVIL]}, "changes": [CHANGE], "unmanaged": LISTED}
CHECKED_IN = ME | {"want": [], "operation": None, "poll_seconds": 1, "recorded": True}
CLAIM = {"operation": OPERATION, "lease_seconds": 60, "target": {"packages": EVIL, "unmanaged": LISTED}, "fetch": []}
PROBLEM = {"code": EVIL, "detail": EVIL, "title": EVIL, "errors": [{"loc": ["body", EVIL], "message": EVIL}]}


def hostile(peer: Peer) -> None:
    """Valid answers in which each free text is EVIL."""
    path = peer.path.partition("?")[0].removeprefix("/api/v1")
    answers: dict[str, Any] = {
        "/checkin": CHECKED_IN, "/me": ME, "/operations": OPERATION, f"/operations/{ID}": ENDED,
        f"/operations/{ID}/claim": CLAIM, f"/operations/{ID}/result": ENDED, "/endpoints/m1/diff": DIFF,
        "/pools/lab/targets": {"number": 4, "unmanaged": LISTED, "approved": False, "warnings": [EVIL]},
        "/enroll": {"id": 1, "name": "m1", "token": "pse_x", "pool": "lab"},
    }  # fmt: skip
    peer.answer(json.dumps(answers.get(path, {})).encode())


def refusing(peer: Peer) -> None:
    peer.answer(json.dumps(PROBLEM).encode(), status="409 Conflict")


def failing(peer: Peer) -> None:
    """Its reason has what HTTP allows: anything but line ends."""
    peer.answer(b"no", status=f"500 {EVIL.replace(chr(10), '').replace(chr(13), '')[:-1]}".replace("\u202e\u2066", ""))


def redirecting(peer: Peer) -> None:
    peer.answer(status="302 Found", Location="http://other/\x1b]0;t\x07forged\x9b2J")


# What each command is given; those that ask no server are left out on purpose.
WALKED = {
    "diff": [[], ["--rehearse"]],
    "enroll": [["--code", "c", "--no-service", "--force"]],
    "once": [[], ["--report-only"]],
    "revert": [[]],
    "rotate-token": [[]],
    "set-latest": [[]],
    "status": [[]],
    "sync": [[]],
    "verify": [[]],
}
LOCAL = {"completion", "health", "manual", "service", "sign", "trust"}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    fleet = Fleet(tmp_path)
    fleet.snapshot("2025/01/01", [fleet.package("tool", "1-1")])
    made = fleet.machine("m", "2025/01/01")
    made.install("tool")
    return made


def test_every_command_is_walked() -> None:
    assert {command.name for command in COMMANDS} == WALKED.keys() | LOCAL | {"run"}


@pytest.mark.needs("pacman")
@pytest.mark.parametrize("server", [hostile, refusing, redirecting])
def test_commands_print_no_controls_of_the_server(machine: Machine, server: Callable[[Peer], None]) -> None:
    seen = 0
    with Hostile(server) as running:
        for command, calls in WALKED.items():
            for call in calls:
                for form in ([], ["--json"]):
                    where = ["--server", running.url] if command == "enroll" else []
                    enrolled(machine, running.url)
                    done = agent.run(machine, command, *where, *call, *form)
                    assert "Traceback" not in done.err, (command, call, done)
                    for text in (done.out, done.err):
                        assert text.replace("\n", "").isprintable(), (command, call, form, text)
                        assert not any(line.startswith("forged") for line in text.splitlines()), (command, text)
                        seen += text.count("forged")
                    if form:
                        assert all(isinstance(json.loads(line), dict) for line in done.out.splitlines()), done
            said = agent.run(machine, "status", "--waybar")
            assert said.out.count("\n") == 1 and json.loads(said.out)["tooltip"].replace("\n", "").isprintable(), said
    assert seen > 5


@pytest.mark.needs("pacman")
def test_status_of_a_server_that_fails_prints_no_controls_of_it(machine: Machine) -> None:
    with Hostile(failing) as running:
        enrolled(machine, running.url)
        done = agent.run(machine, "status")
    assert "t?forged" in done.err and done.err.replace("\n", "").isprintable(), done


@pytest.mark.needs("pacman")
@pytest.mark.parametrize("server", [hostile, refusing])
def test_service_logs_no_controls_of_the_server(machine: Machine, server: Callable[[Peer], None]) -> None:
    with Hostile(server) as running:
        enrolled(machine, running.url)
        process = agent.start(machine, "run")
        until(lambda: len(running.paths) >= (3 if server is hostile else 1) or process.poll() is not None, 60)
        process.terminate()
        said, _ = process.communicate(timeout=60)
    assert "Reporting m1" in said and said.replace("\n", "").isprintable(), said
    assert not any(line.startswith("forged") for line in said.splitlines())


@pytest.mark.needs("pacman")
def test_terminal_gets_no_controls_of_a_server_or_of_file_names(machine: Machine) -> None:
    """What a person sees: with colours, and a rewritten line of progress."""
    (machine.root / f"usr/share/tool/{EVIL}").write_bytes(b"x")
    with Hostile(hostile) as running:
        for command in ("status", "diff", "sync", "verify"):
            enrolled(machine, running.url)
            said = on_terminal(machine, command)
            for own in ("\r\033[K", "\033[33m", "\033[1;31m", "\033[32m", "\033[31m", "\033[34m", "\033[0m", "\r\n"):
                said = said.replace(own, "")
            assert said.isprintable() and said, (command, said)


def on_terminal(machine: Machine, command: str) -> str:
    """What the command writes to a terminal."""
    master, slave = pty.openpty()
    line = [sys.executable, str(agent.agent_path()), command, "--config", str(machine.config)]
    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"} | {"TERM": "xterm"}
    process = subprocess.Popen(line, stdout=slave, stderr=slave, stdin=slave, env=environment, cwd="/")
    os.close(slave)
    said = b""
    with contextlib.suppress(OSError):  # EIO: it has ended
        while piece := os.read(master, 65536):
            said += piece
    os.close(master)
    process.wait(60)
    return said.decode()


def enrolled(machine: Machine, server: str) -> None:
    directory = agent.state_dir(machine)
    directory.mkdir(parents=True, exist_ok=True)
    settings.save_credentials(directory, settings.Credentials(server, "1", "m1", "token"))
