"""The demo's own server: a new folder with an SQLite database, and a port of localhost. It touches no other data.

It must not know what is in the database.
"""

import contextlib
import http.client
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PORT = 8090
START_SECONDS = 300.0
SAID_AFTER = 20.0
STOP_SECONDS = 40.0


class NotStarted(Exception):
    """The server ended or didn't become ready. Its log is on the terminal."""


@contextlib.contextmanager
def new_folder() -> Iterator[Path]:
    """A new folder, which is removed at the end with everything in it."""
    folder = Path(tempfile.mkdtemp(prefix="pacsync-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    """HTTP_PORT if it is set; otherwise PORT, or any free port if that is taken."""
    if os.environ.get("HTTP_PORT"):
        return int(os.environ["HTTP_PORT"])
    for port in (PORT, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise NotStarted("No port of this machine is free.")


def environment(folder: Path, port: int) -> dict[str, str]:
    """The environment of the server. From the caller's it has only paths, locale and the number of workers."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONDONTWRITEBYTECODE", "WEB_CONCURRENCY")
    return {name: os.environ[name] for name in kept if name in os.environ} | {
        "DJANGO_SETTINGS_MODULE": "pacsync.settings",
        "ENVIRONMENT": "development",
        "SECRET_KEY": secrets.token_urlsafe(40),
        "DATABASE_URL": f"sqlite:///{folder / 'demo.sqlite3'}",
        "HTTP_HOST": "127.0.0.1",
        "HTTP_PORT": str(port),
        "POLL_SECONDS": "30",
        "SECURITY_TRACKER_URL": str(folder / "all.json"),
        "SHUTDOWN_DRAIN_DELAY": "0",
        "DB_SQLITE_TIMEOUT": "20",  # on a busy machine a slow disk causes no errors
        "STRUCTURED_LOGGING": "false",
        "LOG_LEVEL": "ERROR",
        "ACCESS_LOG": "false",
        "PYTHONWARNINGS": "ignore:No directory at:UserWarning",  # there is no collectstatic in development
    }


@contextlib.contextmanager
def running(environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The server, ready for requests. It is stopped gracefully at the end. Raises NotStarted."""
    command = [sys.executable, "-m", "gunicorn", "-c", "deploy/gunicorn.conf.py"]
    # A session of its own: Ctrl-C stops the demo, which stops the server; a second Ctrl-C would cut the server off.
    process = subprocess.Popen(command, cwd=ROOT, env=environ, start_new_session=True)  # noqa: S603 - our own command
    try:
        _await(process, int(environ["HTTP_PORT"]))
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _await(process: subprocess.Popen[bytes], port: int) -> None:
    began = time.monotonic()
    said = False
    while not _is_ready(port):
        if process.poll() is not None:
            raise NotStarted(f"The server ended with exit code {process.returncode}. Its log is above.")
        waited = time.monotonic() - began
        if waited > START_SECONDS:
            raise NotStarted(f"The server isn't ready after {START_SECONDS:g} s: this machine is too busy.")
        if waited > SAID_AFTER and not said:
            said = True
            print(f"The server is starting. This takes at most {START_SECONDS:g} s; Ctrl-C stops it.", flush=True)
        time.sleep(0.1)


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
