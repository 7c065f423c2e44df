"""`make demo` waits for its server as long as that lives, says so, and prints commands that a shell takes as is."""

import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from demo import __main__ as demo
from demo import server


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """Something that lives, and answers nothing."""
    made = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield made
    made.kill()
    made.wait()


class Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


def test_server_that_takes_long_is_waited_for_and_that_is_said(
    process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(server, "SAID_AFTER", 0.2)
    with HTTPServer(("127.0.0.1", 0), Ready, bind_and_activate=False) as late:
        late.server_bind()
        threading.Timer(1, lambda: (late.server_activate(), late.serve_forever())).start()
        server._await(process, late.server_port)
        late.shutdown()
    assert capsys.readouterr().out == "The server is starting. This takes at most 300 s; Ctrl-C stops it.\n"


def test_server_that_is_never_ready_is_given_up_with_a_reason(
    process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "START_SECONDS", 0.3)
    with pytest.raises(server.NotStarted, match="isn't ready after"):
        server._await(process, server.free_port())


def test_server_that_ends_is_not_waited_for(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    with pytest.raises(server.NotStarted, match="The server ended with"):
        server._await(process, server.free_port())


def test_command_for_the_api_is_one_that_a_shell_takes_as_it_is() -> None:
    """zsh looks for files where a `?` has no quotes."""
    text = demo.TEXT.format(endpoints=3, url="http://127.0.0.1:1", user="u", password="p", token="pst_x")
    [line] = [line for line in text.splitlines() if "curl" in line]
    words = shlex.split(line)
    assert words[-1] == "http://127.0.0.1:1/api/v1/endpoints?status=behind" and f"'{words[-1]}'" in line
