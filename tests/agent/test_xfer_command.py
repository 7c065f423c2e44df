"""XferCommand: mirrors that only the machine's own command can reach, within the limits of every download."""

import sys
import threading
import time
from pathlib import Path

import pytest

from apps.agent.pacsync_agent.errors import Local
from apps.agent.pacsync_agent.mirrors import download, xfer_command
from apps.agent.pacsync_agent.mirrors.addresses import Address
from apps.agent.pacsync_agent.mirrors.network import Limits, Network, NotThere, Stopped
from apps.agent.pacsync_agent.mirrors.retry_schedule import Patience
from apps.agent.pacsync_agent.pacman.configuration import PacmanConf
from tests.agent.gathering import NEVER

URL = "http://me:pw@own.invalid/core/tool-1-1-any.pkg.tar.zst"


def network(tmp_path: Path, command: str, *, total: float = 20) -> Network:
    options = (("XferCommand", command),)
    conf = PacmanConf(tmp_path, tmp_path, tmp_path, (), (), (), (), (), 1, NEVER, (), options)
    limits = Limits(base=total)
    return Network(threading.Event(), limits=limits, transfer=xfer_command.of(conf), patience=Patience(0))


def program(tmp_path: Path, text: str) -> str:
    """A command that runs this Python text."""
    path = tmp_path / "xfer.py"
    path.write_text(f"import os, sys, time\n{text}\n")
    return f"{sys.executable} {path}"


def fetch(known: Network, tmp_path: Path, address: Address | None = None) -> bytes:
    part = tmp_path / "private" / "x.part"
    part.parent.mkdir(exist_ok=True)
    try:
        return download.fetch(
            [address or Address(URL, own=True)],
            part,
            size=1000,
            network=known,
            on_bytes=lambda count: None,
            accept=lambda path, source: path.read_bytes(),
        )
    finally:
        part.unlink(missing_ok=True)
        assert list(part.parent.iterdir()) == []


@pytest.mark.parametrize("arguments", ["%u %o", "--from=%u --to=%o"])
def test_xfer_command_gets_the_whole_address_and_its_file_is_taken(tmp_path: Path, arguments: str) -> None:
    text = "open(sys.argv[2].split('=')[-1], 'w').write(sys.argv[1].split('=')[-1])"
    assert fetch(network(tmp_path, f"{program(tmp_path, text)} {arguments}"), tmp_path) == URL.encode()


def test_xfer_command_without_an_output_writes_into_its_directory(tmp_path: Path) -> None:
    text = "open(sys.argv[1].rpartition('/')[2], 'w').write('here')"
    assert fetch(network(tmp_path, f"{program(tmp_path, text)} %u"), tmp_path) == b"here"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("sys.exit(22)", "doesn't get it"),
        ("pass", "doesn't get it"),
        ("os.symlink('/etc/shadow', sys.argv[2])", "doesn't get it"),
        ("os.mkdir(sys.argv[2])", "doesn't get it"),
        ("open(sys.argv[2], 'w').write('x' * 5000)", "larger than declared"),
        ("time.sleep(60)", "takes too long"),
    ],
)
def test_xfer_command_that_fails_is_a_refusal(tmp_path: Path, text: str, word: str) -> None:
    began = time.monotonic()
    with pytest.raises(NotThere, match=word) as error:
        fetch(network(tmp_path, f"{program(tmp_path, text)} %u %o", total=2), tmp_path)
    assert time.monotonic() - began < 20 and "pw" not in str(error.value)


def test_xfer_command_is_never_started_for_an_address_of_the_server(tmp_path: Path) -> None:
    text = f"open({str(tmp_path / 'started')!r}, 'w')"
    with pytest.raises(NotThere):
        fetch(network(tmp_path, f"{program(tmp_path, text)} %u %o"), tmp_path, Address("http://127.0.0.1:9/tool"))
    assert not (tmp_path / "started").exists()


def test_xfer_command_stops_when_it_is_asked_to(tmp_path: Path) -> None:
    known = network(tmp_path, f"{program(tmp_path, 'time.sleep(60)')} %u %o")
    threading.Timer(0.5, known.stop.set).start()
    with pytest.raises(Stopped):
        fetch(known, tmp_path)


@pytest.mark.parametrize(("command", "word"), [("curl -o %o", "no %u"), ("curl 'unfinished %u", "quotes")])
def test_xfer_command_that_makes_no_sense_is_refused_and_not_gone_round(
    tmp_path: Path, command: str, word: str
) -> None:
    with pytest.raises(Local, match=word) as error:
        network(tmp_path, command)
    assert error.value.code == "pacman_config_invalid" and "%o %u" in error.value.hint


def test_xfer_command_that_is_not_there(tmp_path: Path) -> None:
    assert network(tmp_path, "").transfer is None
    with pytest.raises(NotThere, match="can't be started"):
        fetch(network(tmp_path, "/nonexistent/curl %u %o"), tmp_path)


def test_xfer_command_that_fails_after_a_long_silence_drops_its_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that fails at once may only say that the file isn't there."""
    monkeypatch.setattr(xfer_command, "SLOW", 0.2)
    host = Address(URL, own=True).host
    for text, dropped in (("sys.exit(22)", False), ("time.sleep(0.4); sys.exit(28)", True)):
        known = network(tmp_path, f"{program(tmp_path, text)} %u %o")
        if not dropped:
            monkeypatch.setattr(xfer_command, "SLOW", 60)
        for _ in range(3):
            with pytest.raises(NotThere):
                fetch(known, tmp_path)
        assert (known.hosts.passed_over(host) is not None) is dropped
        monkeypatch.setattr(xfer_command, "SLOW", 0.2)
