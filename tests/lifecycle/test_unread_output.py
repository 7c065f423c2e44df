"""Output that nobody reads: no write waits, lines stay whole, and what was dropped is said when somebody reads."""

import io
import logging
import os
import pty
import select
import socket
import threading
from collections.abc import Iterator

import pytest

from apps.lifecycle.streams.unread_output import NeverWaiting
from tests.support.wait import until

LINE = "x" * 999 + "\n"
MANY = 200  # lines; more than a pipe, a socket or a terminal holds


class Output:
    """A file with two ends; the writer's is `stream`, and its log goes there, too."""

    def __init__(self, read: int, write: int) -> None:
        self.read_end, self.write_end = read, write
        self.stream = NeverWaiting(io.TextIOWrapper(io.FileIO(write, "w", closefd=False), encoding="utf-8"))
        self.handler = logging.StreamHandler(self.stream)

    def write(self, *lines: str) -> None:
        """In a thread: a write that waits lets the test fail instead of hang."""
        done = threading.Event()

        def all_of_them() -> None:
            for line in lines:
                self.stream.write(line)
            done.set()

        threading.Thread(target=all_of_them, daemon=True).start()
        until(done.is_set, 60)

    def read(self, end: str = "") -> str:
        """What was written and not read; until `end` has come, too, which a terminal takes its time to deliver."""
        found = b""
        while select.select([self.read_end], [], [], 60 if end and not found.decode().endswith(end) else 0)[0]:
            found += os.read(self.read_end, 65536)
            found = found.replace(b"\r\n", b"\n")
        return found.decode()


def ends(kind: str) -> tuple[int, int]:
    if kind == "pipe":
        return os.pipe()
    if kind == "terminal":
        return pty.openpty()
    reader, writer = socket.socketpair()
    return reader.detach(), writer.detach()


@pytest.fixture(params=["pipe", "socket", "terminal"])
def output(request: pytest.FixtureRequest) -> Iterator[Output]:
    made = Output(*ends(request.param))
    logging.getLogger().addHandler(made.handler)
    yield made
    logging.getLogger().removeHandler(made.handler)
    os.close(made.read_end)
    os.close(made.write_end)


def test_nobody_reads_no_write_waits_and_the_file_of_others_still_does(output: Output) -> None:
    output.write(*[LINE] * MANY)
    assert os.get_blocking(output.write_end)


def test_reader_comes_back_the_next_line_follows_the_number_of_dropped_ones(output: Output) -> None:
    output.write(*[LINE] * MANY)
    before = output.read()
    output.write("the next line\n", "and another\n")
    lines = (before + output.read("and another\n")).splitlines(keepends=True)
    whole = [line for line in lines if line == LINE]
    assert whole and lines[: len(whole)] == whole
    notice, *after = lines[len(whole) :]
    assert f"{MANY - len(whole)} lines of this log are missing: nobody read" in notice
    assert after == ["the next line\n", "and another\n"]


def test_slow_reader_loses_nothing(output: Output) -> None:
    found: list[bytes] = []

    def read() -> None:
        while sum(map(len, found)) < 20 * len(LINE):
            found.append(os.read(output.read_end, 700))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    output.write(*[LINE] * 20)
    reader.join(60)
    assert b"".join(found).decode().replace("\r", "").startswith(LINE * 19)


def test_long_line_is_written_in_parts_and_stays_whole() -> None:
    output = Output(*os.pipe())
    long = "y" * 100_000 + "\n"
    output.write(long)
    found = output.read()
    output.write("z\n")
    assert found + output.read("z\n") == long + "z\n"


def test_reader_that_is_gone_is_no_error() -> None:
    output = Output(*os.pipe())
    os.close(output.read_end)
    output.write(LINE, LINE)
