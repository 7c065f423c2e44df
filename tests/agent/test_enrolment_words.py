"""Where an enrolment code comes from, which servers are this machine itself, and what comes after an enrolment."""

import io
import os
from pathlib import Path
from typing import Any

import pytest

from apps.agent.pacsync_agent.cli.commands.enroll import is_loopback
from apps.agent.pacsync_agent.errors import AgentError, Exit
from apps.agent.pacsync_agent.server import enrolment_code
from apps.agent.pacsync_agent.terminal import next_step

SERVER = "https://pacsync.lan"


def test_code_of_the_command_line_goes_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(enrolment_code.VARIABLE, "psc_environment")
    assert enrolment_code.take("psc_given", None) == "psc_given"


def test_code_of_the_environment_is_not_left_to_pacman(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(enrolment_code.VARIABLE, " psc_environment\n")
    assert enrolment_code.take(None, None) == "psc_environment"
    assert enrolment_code.VARIABLE not in os.environ


def test_code_of_a_file_and_of_the_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "code").write_text("psc_file\n")
    assert enrolment_code.take(None, str(tmp_path / "code")) == "psc_file"
    monkeypatch.setattr("sys.stdin", io.StringIO("psc_input\n"))
    assert enrolment_code.take(None, "-") == "psc_input"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "can't be read: No such file"),
        (b"", "holds nothing."),
        (b"psc_a psc_b", "holds more than one word."),
        (b"\xff\xfe", "can't be read: it is no text."),
        (b"x" * 5000, "is too long for a code."),
    ],
)
def test_code_file_without_a_code_is_refused_with_the_reason(tmp_path: Path, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / "code").write_bytes(content)
    with pytest.raises(AgentError) as caught:
        enrolment_code.take(None, str(tmp_path / "code"))
    assert caught.value.exit == Exit.LOCAL and said in caught.value.message
    assert "psc_a" not in caught.value.message + caught.value.hint  # it may be a code


def test_code_missing_is_a_wrong_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(enrolment_code.VARIABLE, raising=False)
    with pytest.raises(AgentError) as caught:
        enrolment_code.take(None, None)
    assert caught.value.exit == Exit.USAGE and "--code-file" in caught.value.hint


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://localhost:8080", True),
        ("http://127.8.9.1", True),
        ("http://[::1]:80", True),
        ("http://pacsync.localhost", True),
        ("http://127.0.0.1.evil.lan", False),
        ("http://localhost.lan", False),
        ("http://0.0.0.0:8080", False),
        ("http://10.0.0.1", False),
    ],
)
def test_is_loopback_goes_by_the_whole_host(url: str, loopback: bool) -> None:
    assert is_loopback(url) == loopback


@pytest.mark.parametrize(
    ("pool", "checked_in", "said"),
    [
        (None, {"status": "unknown", "target": None}, f"put it into a pool, on {SERVER}/endpoints/m1."),
        ("lab", None, "`pacsync-agent once`"),
        ("lab", {"status": "unknown", "target": None}, "pool lab needs a target"),
        ("lab", {"status": "behind", "target": {"number": 1}}, "`pacsync-agent diff` shows"),
        ("lab", {"status": "in_sync", "target": {"number": 1}}, "nothing. It is in sync with"),
    ],
)
def test_after_enrolment_says_the_one_next_step(pool: str | None, checked_in: dict[str, Any] | None, said: str) -> None:
    assert said in next_step.after_enrolment(SERVER, "m1", pool, checked_in)
