"""The compose commands, for real: development with SQLite, the service with PostgreSQL, and all of it by Compose v2."""

import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.deploy.conftest import require_images
from tests.deploy.engine import (
    BASE,
    DEV_IMAGE,
    IMAGE,
    LABEL,
    ROOT,
    SCALED,
    TLS,
    docker,
    environment,
    eventually,
    fetch,
    in_background,
    json_of,
    run,
    stack,
    status,
)
from tests.deploy.scaled import SERVER, ready, servers
from tests.support.postgres import free_port

pytestmark = pytest.mark.timeout(600)
Programs = Callable[[int], tuple[str, ...]]
TRIXIE = "pacsync-local/trixie"  # made beside the local base images; its docker-compose is Compose v2


def clone(folder: Path) -> Path:
    """What a fresh clone has of this checkout, whatever else lies in it."""
    for name in ("apps", "deploy", "pacsync", "manage.py", "docker-compose.yml", "data/.gitkeep"):
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    for path in (folder, *folder.parents):
        if "pytest-of-" in str(path):
            path.chmod(0o755)
    return folder


CHANGE = "\nurlpatterns.append(path('changed', lambda request: __import__('django').http.HttpResponse()))\n"


class Development:
    """`docker-compose up pacman-sync-dev` at a terminal, in a clone without .env; the end is Ctrl-C."""

    def __init__(self, folder: Path, program: tuple[str, ...], name: str) -> None:
        self.folder, self.program, self.port = folder, program, free_port()
        ours = {
            "DEVELOPMENT_PORT": f"127.0.0.1:{self.port}",
            "COMPOSE_PROJECT_NAME": name,
            "PACSYNC_DEV_IMAGE": DEV_IMAGE,
        }
        self.env = environment() | ours
        where = {"cwd": folder, "env": self.env, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        self.process = subprocess.Popen([*program, "up", "pacman-sync-dev"], start_new_session=True, **where)  # type: ignore[call-overload]
        self.said = ""
        self.reading = threading.Thread(target=self._read)
        self.reading.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.said += line

    def inside(self, *command: str) -> str:
        done = run(*self.program, "exec", "-T", "pacman-sync-dev", *command, cwd=self.folder, env=self.env)
        return done.stdout.strip()

    def __enter__(self) -> "Development":
        eventually(lambda: status(self.port, "/health/ready") == 200, within=120, what=f"ready: {self.said}")
        return self

    def __exit__(self, *exception: object) -> None:
        os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait(60)
        self.reading.join(60)
        assert self.process.stdout
        self.process.stdout.close()


@pytest.mark.parametrize("version", [1, 2])
def test_development_service_runs_in_a_fresh_clone_without_a_step_before(
    development_image: str, compose: Programs, tmp_path: Path, version: int
) -> None:
    """A key of its own, kept; changed code is loaded again; Ctrl-C is graceful; nothing is written to the folder."""
    folder = clone(tmp_path / "clone")
    before = set(folder.rglob("*"))
    with stack(*BASE) as project:  # for its name, and its removal
        with Development(folder, compose(version), project.name) as first:
            detailed = json_of(first.port, "/health/detailed")
            assert detailed["environment"] == "development"
            assert detailed["components"]["database"]["type"] == "sqlite"  # type: ignore[index]
            services = docker(
                "ps", "--filter", f"label=com.docker.compose.project={project.name}",
                "--format", '{{.Label "com.docker.compose.service"}}',
            )  # fmt: skip
            assert services == "pacman-sync-dev", "nothing else is started"
            key = first.inside("cat", "data/secret_key")
            assert len(key) >= 50
            assert first.inside("stat", "-c", "%a", "data/secret_key") == "600"
            (container,) = project.containers("pacman-sync-dev")
            assert run("docker", "exec", container, "touch", "/app/manage.py", check=False).returncode != 0, "read only"
            with (folder / "apps" / "dashboard" / "urls.py").open("a") as module:
                module.write(CHANGE)
            eventually(lambda: status(first.port, "/changed") == 200, within=60, what="the change is served")
        assert docker("inspect", "-f", "{{.State.ExitCode}}", container) == "0", first.said
        logged = run("docker", "logs", container)
        assert "shutdown complete" in logged.stdout + logged.stderr
        with Development(folder, compose(version), project.name) as second:
            assert second.inside("cat", "data/secret_key") == key
    assert set(folder.rglob("*")) == before


def test_production_without_secrets_says_so_in_one_line_and_does_not_start(image: str) -> None:
    for missing in ("SECRET_KEY", "POSTGRES_PASSWORD"):
        with stack(*BASE, **{missing: ""}) as project:
            done = project.compose("run", "--rm", "--no-deps", "-T", "pacman-sync-server", check=False)
            assert done.returncode == 2
            said = (done.stdout + done.stderr).splitlines()
            [line] = [json.loads(line) for line in said if line.startswith("{")]
            assert line["message"] == f"{missing} is not set - run `make env` first"
            assert not any("Traceback" in line for line in said)


def test_postgres_profile_runs_the_service_and_keeps_its_data(image: str) -> None:
    password = "any/letters?at%41all@:"  # in a URL most of them would mean something
    with stack(*BASE, COMPOSE_PROFILES="", SHUTDOWN_DRAIN_DELAY=1, POSTGRES_PASSWORD=password) as project:
        project.compose("--profile", "postgres", "up", "-d", "--no-build")
        project.ready()
        detailed = json_of(project.port, "/health/detailed")
        assert detailed["configuration"]["database_type"] == "postgresql"  # type: ignore[index]
        assert detailed["configuration"]["pool_size"] == "2-10"  # type: ignore[index]
        (server,) = project.containers("pacman-sync-server")
        token = docker("exec", server, "python", "manage.py", "create_api_token", "kept", "--role", "operator")
        headers = {"Authorization": f"Bearer {token.split()[-1]}", "Content-Type": "application/json"}
        body = json.dumps({"name": "kept"}).encode()
        assert fetch(project.port, "/api/v1/pools", method="POST", headers=headers, body=body)[0] == 201

        project.compose("--profile", "postgres", "down", "-t", "45")
        project.compose("--profile", "postgres", "up", "-d", "--no-build")
        project.ready()
        assert fetch(project.port, "/api/v1/pools/kept", headers=headers)[0] == 200


def test_basic_scaling_serves_on_when_one_of_two_instances_stops(image: str) -> None:
    """`docker-compose up --scale`, without the scale file."""
    with stack(*BASE, SHUTDOWN_DRAIN_DELAY=3) as project:
        project.compose("up", "-d", "--no-build", "--scale", "pacman-sync-server=2")
        project.ready()
        eventually(lambda: {served_by(project.port) for _ in range(6)} == {"server1", "server2"}, within=60)
        stopping = in_background("docker", "stop", "-t", "45", project.containers("pacman-sync-server")[0])
        answers = []
        while stopping.is_alive():
            answers.append(status(project.port, "/health/live"))
        assert len(answers) > 100
        assert set(answers) == {200}


def served_by(port: int) -> str:
    return fetch(port, "/health/live")[1]["x-served-by"]


@pytest.fixture
def compose(request: pytest.FixtureRequest) -> Programs:
    """The command of docker-compose 1.29 (this machine's `docker-compose`) and of Compose v2."""
    return lambda version: ("docker-compose",) if version == 1 else request.getfixturevalue("compose_v2")


@pytest.fixture(scope="module")
def compose_v2(containers: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The command of Compose v2: this machine's, or Debian trixie's."""
    if run("docker", "compose", "version", check=False).returncode == 0:
        return ("docker", "compose")
    require_images(TRIXIE)
    folder = tmp_path_factory.mktemp("compose-v2")
    (folder / "Dockerfile").write_text(
        f"FROM {TRIXIE}\nRUN apt-get update -q && apt-get install -yq --no-install-recommends docker-compose\n"
    )
    tag = f"{IMAGE}-compose"
    docker("build", "-q", "--network=host", "-t", tag, folder)
    container = docker("create", "--label", LABEL, tag, "true")
    docker("cp", f"{container}:/usr/libexec/docker/cli-plugins/docker-compose", folder / "docker-compose")
    docker("rm", container)
    docker("rmi", "--no-prune", tag)
    return (str(folder / "docker-compose"),)


def test_compose_v2_runs_the_scaled_stack_and_its_rolling_update(image: str, compose_v2: tuple[str, ...]) -> None:
    with stack(*SCALED, program=compose_v2, SHUTDOWN_DRAIN_DELAY=2) as project:
        version = project.compose("version").stdout
        assert "v2." in version or " 2." in version, version
        project.compose("--profile", "monitoring", "config", "-q")
        project.compose("up", "-d", "--no-build", "--scale", "pacman-sync-server=2")
        project.ready()
        eventually(lambda: len(ready(project)) == 2, within=60, what="two instances are up")
        before = set(project.containers("pacman-sync-server"))
        command = environment() | {"COMPOSE": " ".join(compose_v2)}
        run(ROOT / "deploy" / "rolling-update.sh", *project.options, env=command)
        eventually(lambda: len(ready(project)) == 2 == len(servers(project)), within=60, what="two new ones are up")
        assert not before & set(project.containers("pacman-sync-server", running=False))
        assert json_of(project.ports["MONITORING_PORT"], "/health/detailed")["status"] == "healthy"


# Every combination of files that is documented.
COMBINATIONS = (BASE, SCALED, TLS, (*SCALED, *TLS[1:]))


@pytest.mark.parametrize("version", [1, 2])
def test_up_keeps_the_number_of_instances_in_every_documented_combination(
    image: str, compose: Programs, tmp_path: Path, version: int
) -> None:
    """One project that goes through all of them: `up -d` means the same number each time, whatever ran before."""
    (tmp_path / "tls").mkdir()
    settings = {"PACSYNC_INSTANCES": 2, "TLS_FOLDER": tmp_path / "tls", "COMPOSE_PROFILES": ""}
    with stack(program=compose(version), **settings) as project:

        def up(files: tuple[str, ...], *more: object, by_variable: bool = False) -> int:
            named = [] if by_variable else [part for file in files for part in ("-f", file)]
            given = project.env_file.read_text().split("COMPOSE_FILE")[0]
            project.env_file.write_text(given + (f"COMPOSE_FILE={':'.join(files)}\n" if by_variable else ""))
            project.compose(*named, "up", "-d", "--no-build", "-t", "1", *more, SERVER)
            return len(project.containers(SERVER))

        for files in COMBINATIONS:
            assert up(files, by_variable=len(files) > 2) == 2, files
        assert up(SCALED, "--no-recreate", "--scale", f"{SERVER}=3") == 3, "for this one command"
        assert up(SCALED, "--no-recreate") == 2
        # The twin: a project that keeps no number falls back to one.
        project.env_file.write_text(project.env_file.read_text().replace("PACSYNC_INSTANCES=2\n", ""))
        assert up(SCALED) == 1
