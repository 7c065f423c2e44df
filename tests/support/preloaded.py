"""Starts Python programs from a Python that has the libraries loaded (preload.py); it must not know the programs.

For the many servers and commands of a run. Tests of how a program starts run `sys.executable` themselves;
measurements set `afresh`, so that nobody's memory or start is flattered.
"""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

PROGRAM = Path(__file__).with_name("preload.py")

afresh = False  # whether each program gets an interpreter of its own, as anywhere else

_lock = threading.Lock()
_preload: tuple[int, socket.socket, subprocess.Popen[bytes]] | None = None  # with the process id of its owner


class Process:
    """A started program, with the part of `subprocess.Popen` that tests use. `returncode` is None until it is known."""

    def __init__(self, arguments: Sequence[str], pid: int, status: int) -> None:
        self.args, self.pid, self.returncode = [sys.executable, *arguments], pid, None  # type: int | None
        self._status: int | None = status

    def poll(self) -> int | None:
        """The exit code, negative for a signal, or None while it runs."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code. Raises subprocess.TimeoutExpired after `timeout` seconds."""
        code = self._look(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def _look(self, seconds: float | None) -> int | None:
        if self._status is not None and select.select([self._status], [], [], seconds)[0]:
            said = os.read(self._status, 16)
            os.close(self._status)
            self._status = None
            self.returncode = int(said) if said else -signal.SIGKILL  # preload.py itself was killed
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start(
    arguments: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdout: IO[bytes],
    stderr: IO[bytes],
    session: bool = False,
) -> "Process | subprocess.Popen[bytes]":
    """Start `python ARGUMENTS…` (`-m module`, `-c code` or a script) with an empty standard input."""
    if afresh:
        command = [sys.executable, *arguments]
        return subprocess.Popen(
            command,
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=session,
        )
    program = {
        "arguments": list(arguments),
        "folder": str(cwd),
        "environment": dict(env),
        "session": session,
        "blocked": [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
    }
    ended, end = os.pipe()
    try:
        with _lock, open(os.devnull, "rb") as nothing:
            preload = _running()
            descriptors = [nothing.fileno(), stdout.fileno(), stderr.fileno(), end]
            socket.send_fds(preload, [json.dumps(program).encode()], descriptors)
            pid = int(preload.recv(16))
    finally:
        os.close(end)
    return Process(arguments, pid, ended)


def run(
    arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """`python ARGUMENTS…` until its end, with what it wrote. Raises subprocess.TimeoutExpired, having killed it."""
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        process = start(arguments, cwd=cwd, env=env, stdout=stdout, stderr=stderr)
        try:
            process.wait(timeout)
        except BaseException:
            process.kill()
            raise
        said = []
        for file in (stdout, stderr):
            file.seek(0)
            said.append(file.read().decode())
    return subprocess.CompletedProcess(process.args, process.wait(), *said)


def _running() -> socket.socket:
    """The socket to this process's own preload.py, which ends with it."""
    global _preload
    if _preload is None or _preload[0] != os.getpid():
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, str(PROGRAM), str(theirs.fileno())]
            process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        _preload = os.getpid(), ours, process
        atexit.register(_end, *_preload)
    return _preload[1]


def _end(owner: int, ours: socket.socket, process: subprocess.Popen[bytes]) -> None:
    if os.getpid() == owner:
        ours.close()
        process.wait()
