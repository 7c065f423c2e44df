"""Docker and docker-compose as the tests use them: all is labelled, on free ports, and removed.

It must not know what runs inside. Programs are run with low priority: the machine is shared.
"""

import contextlib
import http.client
import json
import os
import re
import secrets
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.support.postgres import free_port
from tests.support.wait import LONGEST_PAUSE, until

ROOT = Path(__file__).resolve().parents[2]
# Of this run alone: two may share an engine, and each removes what is its own. What a killed run left is found by
# `docker ps -a --filter label=pacsync.test`.
RUN = secrets.token_hex(4)
LABEL = f"pacsync.test={RUN}"
IMAGE = f"pacman-sync-utility:pacsync-test-{RUN}"
DEV_IMAGE = f"{IMAGE}-development"
POSTGRES = "postgres:17"
# Where the compose file's Prometheus can't be pulled, PROMETHEUS_IMAGE names the one to test with.
PROMETHEUS = (
    os.environ.get("PROMETHEUS_IMAGE")
    or re.findall(r"PROMETHEUS_IMAGE:-([^}]+)", (ROOT / "docker-compose.scale.yml").read_text())[0]
)
BASE = ("docker-compose.yml",)
SCALED = ("docker-compose.yml", "docker-compose.scale.yml")
TLS = ("docker-compose.yml", "docker-compose.tls.yml")


def run(
    *command: object, timeout: float = 300, check: bool = True, **options: object
) -> subprocess.CompletedProcess[str]:
    """Run a program. AssertionError with all that it said when it fails, unless `check` is False."""
    parts = ["nice", "-n", "10", *map(str, command)]
    done = subprocess.run(parts, capture_output=True, text=True, timeout=timeout, **options)  # type: ignore[call-overload]
    if check:
        assert done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done


def environment() -> dict[str, str]:
    """What compose may know of this process: variables of ours would be taken for those of .env."""
    return {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"} or name.startswith("DOCKER_")}


def docker(*arguments: object, **options: object) -> str:
    """`docker …`; its standard output without the last newline."""
    return run("docker", *arguments, **options).stdout.strip()


def in_background(*command: object) -> threading.Thread:
    """Run a program in a thread; join it."""
    thread = threading.Thread(target=run, args=command)
    thread.start()
    return thread


def problem() -> str | None:
    """Why nothing can be run in containers here, None when it can."""
    for program in ("docker", "docker-compose"):
        if shutil.which(program) is None:
            return f"apt-get install {'docker.io' if program == 'docker' else program}"
    if run("docker", "info", check=False).returncode:
        return "no Docker engine is running: start dockerd"
    return None


def missing(*images: str) -> list[str]:
    """Those of the images that this engine hasn't got."""
    return [image for image in images if run("docker", "image", "inspect", image, check=False).returncode]


def build(target: str, tag: str) -> None:
    """Build a stage of the Dockerfile."""
    docker("build", "--network=host", "--label", LABEL, "--target", target, "-t", tag, ROOT, timeout=900)


def eventually(question: Callable[[], object], *, within: float, every: float = LONGEST_PAUSE, what: str = "") -> float:
    """Wait until the answer is true; a server that doesn't answer counts as not yet. The seconds that it took."""
    began, lost = time.monotonic(), (OSError, http.client.HTTPException)
    until(question, within, every=every, ignoring=lost, otherwise=lambda: what)
    return time.monotonic() - began


def fetch(
    port: int, path: str, *, method: str = "GET", headers: dict[str, str] | None = None, body: bytes | None = None
) -> tuple[int, dict[str, str], bytes]:
    """One request to 127.0.0.1; status, headers with names in lower case, body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


def status(port: int, path: str) -> int:
    """The status of one GET, 0 when no answer came."""
    try:
        return fetch(port, path)[0]
    except (OSError, http.client.HTTPException):
        return 0


def json_of(port: int, path: str, **options: object) -> dict[str, object]:
    """The JSON of one GET. AssertionError when the status isn't 200."""
    code, _, body = fetch(port, path, **options)  # type: ignore[arg-type]
    assert code == 200, (path, code, body[:500])
    found = json.loads(body)
    assert isinstance(found, dict)
    return found


class Stack:
    """A compose project of the test's own: its name, its .env, its ports. Removed with its volumes by `down()`."""

    def __init__(self, files: tuple[str, ...], program: tuple[str, ...], **env: object) -> None:
        self.program = program
        self.name = f"pacsync-test-{secrets.token_hex(4)}"
        self.directory = Path(tempfile.mkdtemp(prefix=f"{self.name}-"))
        names = ("HTTP_PORT", "HTTPS_PORT", "STATS_PORT", "MONITORING_PORT", "PROMETHEUS_PORT")
        self.ports = {name: free_port() for name in names}
        values = {
            "SECRET_KEY": secrets.token_urlsafe(50),
            "POSTGRES_PASSWORD": secrets.token_urlsafe(24),
            "GRAFANA_PASSWORD": secrets.token_urlsafe(18),
            "COMPOSE_PROFILES": "postgres",
            "PACSYNC_IMAGE": IMAGE,
            "PACSYNC_DEV_IMAGE": DEV_IMAGE,
            "PROMETHEUS_IMAGE": PROMETHEUS,
            # A load comes from one address, and waits while the only instance is away.
            "SOURCE_REQUESTS_IN_10_SECONDS": 100_000,
            "SOURCE_REQUESTS_AT_ONCE": 1000,
            "SOURCE_CONNECTIONS": 4000,
            **self.ports,
            **env,
        }
        self.env_file = self.directory / "env"
        self.env_file.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
        named = [part for file in files for part in ("-f", str(ROOT / file))]
        self.options = ["--project-directory", str(ROOT), "--env-file", str(self.env_file), "-p", self.name, *named]

    @property
    def port(self) -> int:
        return self.ports["HTTP_PORT"]

    def compose(self, *arguments: object, timeout: float = 300, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`docker-compose …` in this project."""
        command = [*self.program, *self.options, *arguments]
        return run(*command, timeout=timeout, check=check, env=environment(), cwd=ROOT)

    def containers(self, service: str, *, running: bool = True) -> list[str]:
        """The ids of the containers of a service, oldest first."""
        filters = [f"label=com.docker.compose.project={self.name}", f"label=com.docker.compose.service={service}"]
        options = [part for text in filters for part in ("--filter", text)]
        found = docker("ps", "-q", "--no-trunc", *([] if running else ["-a"]), *options).split()
        return found[::-1]

    def logs(self, service: str) -> str:
        done = self.compose("logs", "--no-color", "--tail=200", service, check=False)
        return done.stdout + done.stderr

    def ready(self, *, within: float = 90) -> None:
        """Wait until the front door says that it is ready."""
        try:
            eventually(lambda: status(self.port, "/health/ready") == 200, within=within, what="/health/ready is 200")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.logs('pacman-sync-server')[-4000:]}") from None

    def down(self) -> None:
        """Also what joined the stack's networks from outside: an engine has only some thirty networks to give."""
        ours = f"label=com.docker.compose.project={self.name}"
        for network in docker("network", "ls", "-q", "--filter", ours).split():
            guests = docker("ps", "-aq", "--filter", f"network={network}").split()
            if guests:
                run("docker", "rm", "-f", "-v", *guests, check=False)
        self.compose("down", "-v", "--remove-orphans", "-t", "2", check=False, timeout=120)
        for kind in ("network", "volume"):
            for name in docker(kind, "ls", "-q", "--filter", ours).split():
                run("docker", kind, "rm", name, check=False)
        shutil.rmtree(self.directory, ignore_errors=True)


@contextlib.contextmanager
def stack(*files: str, program: tuple[str, ...] = ("docker-compose",), **env: object) -> Iterator[Stack]:
    """A compose project that isn't started yet, removed at the end whatever happened."""
    project = Stack(files, program, **env)
    try:
        yield project
    finally:
        project.down()
