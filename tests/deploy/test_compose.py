"""The compose commands of one instance, for real: development with SQLite, and the service with PostgreSQL."""

import json

import pytest

from tests.deploy.engine import BASE, docker, eventually, fetch, in_background, json_of, run, stack, status

pytestmark = pytest.mark.timeout(600)


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
    with stack(*BASE, COMPOSE_PROFILES="", SHUTDOWN_DRAIN_DELAY=1) as project:
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
