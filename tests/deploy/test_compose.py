"""The compose commands, for real: development with SQLite, the service with PostgreSQL, and all of it by Compose v2."""

import json

import pytest

from tests.deploy.conftest import require_images
from tests.deploy.engine import (
    BASE,
    IMAGE,
    LABEL,
    ROOT,
    SCALED,
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
from tests.deploy.scaled import ready, servers

pytestmark = pytest.mark.timeout(600)
TRIXIE = "pacsync-local/trixie"  # made beside the local base images; its docker-compose is Compose v2


def test_development_service_runs_with_sqlite_and_the_mounted_code(development_image: str) -> None:
    with stack(*BASE) as project:
        project.compose("up", "-d", "--no-build", "pacman-sync-dev")
        eventually(lambda: status(project.port, "/health/ready") == 200, within=90, what="ready")
        detailed = json_of(project.port, "/health/detailed")
        assert detailed["environment"] == "development"
        assert detailed["components"]["database"]["type"] == "sqlite"  # type: ignore[index]
        services = docker(
            "ps", "--filter", f"label=com.docker.compose.project={project.name}",
            "--format", '{{.Label "com.docker.compose.service"}}',
        )  # fmt: skip
        assert services == "pacman-sync-dev", "nothing else is started"
        (container,) = project.containers("pacman-sync-dev")
        assert run("docker", "exec", container, "touch", "/app/manage.py", check=False).returncode != 0, "read only"


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


def test_compose_v2_runs_the_development_service(development_image: str, compose_v2: tuple[str, ...]) -> None:
    with stack(*BASE, program=compose_v2) as project:
        project.compose("up", "-d", "--no-build", "pacman-sync-dev")
        eventually(lambda: status(project.port, "/health/ready") == 200, within=90, what="ready")
