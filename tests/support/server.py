"""A real PacSync server under gunicorn, on a free loopback port, in a process group of its own.

It must not know what a test does with the server. The database is the caller's; `migrate` brings it up to date.
"""

import contextlib
import http.client
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from tests.support import preloaded
from tests.support.isolation import run_folder
from tests.support.postgres import free_port

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = ROOT / "deploy" / "gunicorn.conf.py"


def environment(database_url: str, **env: object) -> dict[str, str]:
    """The environment of a server or a management command that works on `database_url`; `env` goes over it."""
    defaults = {
        "SECRET_KEY": "only-for-tests",
        "ENVIRONMENT": "test",
        "PYTHONUNBUFFERED": "1",
        "DATABASE_URL": database_url,
        "SHUTDOWN_DRAIN_DELAY": "0",
        "SHUTDOWN_TIMEOUT": "10",
        # Every test and its load come from one address; tests of the limits set them again.
        **{f"RATE_LIMIT_{kind}": "0" for kind in ("ANONYMOUS", "ENROLMENT", "LOGIN", "FAILURES")},
        **{f"RATE_LIMIT_{kind}_TOTAL": "0" for kind in ("ANONYMOUS", "ENROLMENT", "LOGIN", "FAILURES")},
    }
    return os.environ | defaults | {name: str(value) for name, value in env.items()}


def manage(database_url: str, *arguments: str, **env: object) -> subprocess.CompletedProcess[str]:
    """Run `manage.py` with these arguments on that database; the finished process, whatever its exit code."""
    return preloaded.run(["manage.py", *arguments], cwd=ROOT, env=environment(database_url, **env))


def migrate(database_url: str) -> None:
    """Bring the database up to date. AssertionError with what the command said when it fails."""
    done = manage(database_url, "migrate", "--verbosity=0")
    assert done.returncode == 0, done.stdout + done.stderr


class Server:
    """One gunicorn master with its workers. `url` has no slash at its end, `pid` is the master's.

    `root` is the folder of the release that it runs, `options` are gunicorn's own.
    """

    root = ROOT
    options: tuple[str, ...] = ()

    def __init__(self, database_url: str, **env: object) -> None:
        self.port = int(str(env.get("HTTP_PORT") or free_port()))
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = environment(database_url, **env) | {"HTTP_HOST": "127.0.0.1", "HTTP_PORT": str(self.port)}
        descriptor, name = tempfile.mkstemp(prefix="server-", suffix=".log", dir=run_folder())
        os.close(descriptor)
        self.log_path = Path(name)
        self.process: preloaded.Process | subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self.process is not None, "the server was not started"
        return self.process.pid

    def log(self) -> str:
        """All that the server has written so far, standard output and error."""
        return self.log_path.read_text(errors="replace")

    def _command(self) -> list[str]:
        gunicorn = ["-m", "gunicorn", "pacsync.wsgi:application"]
        if CONFIGURATION.exists():
            return [*gunicorn, "--config", str(self.root / "deploy" / "gunicorn.conf.py"), *self.options]
        plain = ["--worker-class=gthread", "--threads=16", "--no-control-socket", f"--bind=127.0.0.1:{self.port}"]
        return [*gunicorn, *plain, f"--workers={self.environment.get('WEB_CONCURRENCY', '1')}"]

    def start(self, *, timeout: float = 90) -> None:
        """Start and wait until any HTTP answer comes. AssertionError with the log when none does."""
        self.launch()
        assert self.process is not None
        deadline = time.monotonic() + timeout
        while not self.answers():
            assert self.process.poll() is None, f"the server ended: exit {self.process.returncode}\n{self.log()}"
            assert time.monotonic() < deadline, f"no answer within {timeout} s\n{self.log()}"
            time.sleep(0.05)

    @contextlib.contextmanager
    def started(self) -> Iterator[Self]:
        """Started, and killed at the end, when its log goes too."""
        try:
            self.start()
            yield self
        finally:
            self.kill()
            self.log_path.unlink(missing_ok=True)

    def launch(self) -> None:
        """Start, and wait for nothing."""
        with self.log_path.open("ab") as log:
            self.process = preloaded.start(
                self._command(), cwd=self.root, env=self.environment, stdout=log, stderr=log, session=True
            )

    def answers(self) -> bool:
        """Whether an HTTP request gets any answer within 2 seconds."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/health/live")
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        return True

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the master alone."""
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self, *, timeout: float = 30) -> int:
        """SIGTERM, and the exit code; what is left of the process group after `timeout` seconds is killed."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(timeout=timeout)
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL to the whole process group, as when the machine goes away."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(timeout=10)


@contextlib.contextmanager
def running_server(database_url: str, **env: object) -> Iterator[Server]:
    """A started server, stopped at the end. `env` are environment variables (`WEB_CONCURRENCY=2`)."""
    with Server(database_url, **env).started() as server:
        yield server
        server.stop()
