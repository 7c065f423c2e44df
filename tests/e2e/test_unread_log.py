"""The image's entry point with an output that nobody reads: it starts, serves and stops as if somebody did."""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.raw_requests import asked
from tests.support.load import get
from tests.support.server import ROOT, Server
from tests.support.wait import until

FILLER = b"x" * 4096


class Unread(Server):
    """Started by the entry point; its standard output and error are a pipe that is full from the beginning."""

    reader = -1
    held = 0  # bytes

    def launch(self) -> None:
        self.reader, writer = os.pipe()
        os.set_blocking(writer, False)
        try:
            while True:
                self.held += os.write(writer, FILLER)
        except BlockingIOError:
            os.set_blocking(writer, True)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.process = subprocess.Popen(
            ["sh", ROOT / "deploy" / "entrypoint.sh"],
            env=self.environment | {"PATH": path},
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=writer,
            start_new_session=True,
        )
        os.close(writer)

    def end(self) -> None:
        """SIGTERM, and the exit."""
        self.signal(signal.SIGTERM)
        assert self.process and self.process.wait(60) == 0

    def read(self) -> str:
        """What is in the pipe now; empty if nothing is."""
        return os.read(self.reader, 1 << 20).decode() if select.select([self.reader], [], [], 0)[0] else ""


@pytest.mark.parametrize("structured", ["true", "false"])
def test_log_that_nobody_reads_holds_up_nothing(sqlite_url: str, structured: str) -> None:
    server = Unread(sqlite_url, STRUCTURED_LOGGING=structured, WEB_CONCURRENCY=2)
    with server.started():
        until(lambda: get(server.port, "/health/ready")[0] == 200, 60)
        assert [get(server.port, path)[0] for path in ("/login", "/nope") * 5] == [200, 404] * 5
        with asked(server.port, b"NO HTTP\r\n\r\n") as refused:  # the main loop logs that
            assert b" 400 " in refused.recv(100)
        assert get(server.port, "/health/live")[0] == 200
        server.end()
        held = ""
        while more := server.read():
            held += more
        assert held == FILLER.decode() * (server.held // len(FILLER))


def test_log_that_is_read_again_says_how_much_is_missing(sqlite_url: str) -> None:
    server = Unread(sqlite_url, STRUCTURED_LOGGING="true")
    with server.started():
        until(lambda: get(server.port, "/health/ready")[0] == 200, 60)
        found = ""

        def missing() -> bool:
            nonlocal found
            get(server.port, "/login")
            found += server.read()
            return "lines of this log are missing: nobody read <stdout>" in found

        until(missing, 60)
        server.end()
        while more := server.read():
            found += more
        lines = [json.loads(line) for line in found.lstrip("x").splitlines()]
        assert "shutdown" in lines[-1]
