"""The images, run for real: who they run as, what they may write, signals, waiting, migrating, their health check."""

import json
import re
import secrets
import time
from collections.abc import Callable, Iterator

import pytest

from tests.deploy import engine
from tests.deploy.engine import LABEL, docker, eventually, fetch, run, status
from tests.support.postgres import free_port

pytestmark = pytest.mark.timeout(900)
LOCKED_DOWN = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true")
URL = "postgresql://pacsync:of-this-test@postgres:5432/pacsync"
Start = Callable[..., tuple[str, int]]


@pytest.fixture
def start(image: str) -> Iterator[Start]:
    """Starts a container of the production image; its id and its port on loopback. All are removed at the end."""
    made = []

    def begin(*options: object, command: tuple[str, ...] = (), tag: str = image, **env: object) -> tuple[str, int]:
        port = free_port()
        variables = {"SECRET_KEY": "only-for-tests", **env}
        parts = [part for name, value in variables.items() for part in ("-e", f"{name}={value}")]
        where = ("-p", f"127.0.0.1:{port}:8080", "--label", LABEL)
        container = docker("run", "-d", *where, *LOCKED_DOWN, *parts, *options, tag, *command)
        made.append(container)
        return container, port

    yield begin
    for container in made:
        run("docker", "rm", "-f", "-v", container, check=False)


@pytest.fixture
def network(containers: None) -> Iterator[str]:
    name = f"pacsync-test-{secrets.token_hex(4)}"
    docker("network", "create", "--label", LABEL, name)
    yield name
    run("docker", "network", "rm", name, check=False)


@pytest.fixture
def database(network: str) -> Iterator[str]:
    """A PostgreSQL in the network, by the name `postgres`; yields the container."""
    password = ("-e", "POSTGRES_USER=pacsync", "-e", "POSTGRES_PASSWORD=of-this-test", "-e", "LANG=C.UTF-8")
    where = ("--network", network, "--network-alias", "postgres")
    container = docker("run", "-d", "--label", LABEL, *where, *password, engine.POSTGRES)
    yield container
    run("docker", "rm", "-f", "-v", container, check=False)


def logs(container: str) -> str:
    done = run("docker", "logs", container)
    return done.stdout + done.stderr


def exit_code(container: str, *, within: float = 60) -> int:
    eventually(
        lambda: docker("inspect", "-f", "{{.State.Running}}", container) == "false", within=within, what="it ended"
    )
    return int(docker("inspect", "-f", "{{.State.ExitCode}}", container))


def test_image_has_its_contract(image: str) -> None:
    config = json.loads(docker("image", "inspect", image))[0]["Config"]
    assert config["User"] == "10001:10001"
    assert config["StopSignal"] == "SIGTERM"
    assert config["Cmd"] == ["serve"]
    second = 1_000_000_000
    health = config["Healthcheck"]
    figures = health["Interval"], health["Timeout"], health["StartPeriod"], health["Retries"]
    assert figures == (30 * second, 10 * second, 10 * second, 3)
    assert config["Labels"]["org.opencontainers.image.title"] == "pacman-sync-utility"


def test_image_adds_little_to_its_base_and_no_compiler(image: str) -> None:
    size, base = (int(docker("image", "inspect", "-f", "{{.Size}}", tag)) for tag in (image, "python:3.13-slim-trixie"))
    assert size - base < 100_000_000, f"{(size - base) / 1e6:.0f} MB"
    programs = "for p in gcc cc make git curl; do command -v $p; done; true"
    assert docker("run", "--rm", "--entrypoint", "sh", image, "-c", programs) == ""
    nothing_of_pip = "ls /opt/venv/lib/python3*/site-packages | grep -x pip || true"
    assert docker("run", "--rm", "--entrypoint", "sh", image, "-c", nothing_of_pip) == ""


def test_image_holds_no_secret_no_tests_and_compiled_code(image: str) -> None:
    look = "ls -A /app; find /app -name '.env*' -o -name '.git'; find /app/apps -name '*.pyc' | wc -l"
    *names, compiled = docker("run", "--rm", "--entrypoint", "sh", image, "-c", look).split()
    assert not {".git", ".env", "tests", "docs"} & set(names)
    assert int(compiled) > 20


def test_locked_down_container_serves_and_ends_gracefully_as_process_one(start: Start) -> None:
    container, port = start(AUTO_MIGRATE="true", SHUTDOWN_DRAIN_DELAY="1")
    eventually(lambda: status(port, "/health/ready") == 200, within=60, what="ready")
    assert "gunicorn" in docker("exec", container, "cat", "/proc/1/cmdline").replace("\0", " ")
    assert docker("exec", container, "id", "-u") == "10001"
    assert run("docker", "exec", container, "touch", "/app/anything", check=False).returncode != 0
    began = time.monotonic()
    docker("stop", "-t", "45", container)
    assert time.monotonic() - began < 30
    assert exit_code(container) == 0
    assert '"signal": "SIGTERM"' in logs(container)


def test_interrupt_ends_it_gracefully_too(start: Start) -> None:
    container, port = start(AUTO_MIGRATE="true", SHUTDOWN_DRAIN_DELAY="1")
    eventually(lambda: status(port, "/health/ready") == 200, within=60, what="ready")
    docker("kill", "-s", "INT", container)
    assert exit_code(container) == 0


def test_any_other_user_can_run_it_too(start: Start) -> None:
    container, port = start("--user", "12345", AUTO_MIGRATE="true")
    eventually(lambda: status(port, "/health/ready") == 200, within=60, what="ready")
    assert docker("exec", container, "id", "-u") == "12345"


@pytest.mark.parametrize("moment", ["waiting up to", "the schema is up to date|migrated", "Listening at"])
def test_signal_while_it_starts_ends_it(start: Start, moment: str) -> None:
    """Process 1 gets no signal that it doesn't handle: it must neither be lost nor wait for the whole start."""
    waits = {"DATABASE_URL": URL, "DATABASE_WAIT_SECONDS": 600} if moment == "waiting up to" else {}
    container, _ = start(AUTO_MIGRATE="true", SHUTDOWN_DRAIN_DELAY="1", **waits)
    eventually(lambda: re.search(moment, logs(container)), within=60, every=0.02, what=moment)
    docker("kill", "-s", "TERM", container)
    assert exit_code(container) in (0, 143)


def test_signal_ends_a_command_that_is_process_one(start: Start) -> None:
    waiting = ("manage", "healthcheck", "--url", "http://127.0.0.1:9", "--wait", "600")
    container, _ = start(command=waiting)
    eventually(lambda: "healthcheck" in docker("top", container), within=30, what="it runs")
    docker("kill", "-s", "TERM", container)
    assert exit_code(container) == 143


def test_commands_exit_code_and_standard_input_are_those_of_the_container(image: str) -> None:
    command = ("docker", "run", "--rm", "-i", "-e", "SECRET_KEY=only-for-tests", image, "manage")
    assert run(*command, "shell", "-v", "0", input="print(6 * 7)").stdout.strip() == "42"
    assert run(*command, "nonsense", check=False).returncode == 1
    assert "migrate | manage" in run("docker", "run", "--rm", image, "--help").stdout


def test_docker_health_check_follows_readiness(start: Start) -> None:
    container, _ = start("--health-interval=1s", AUTO_MIGRATE="true")

    def health() -> str:
        return docker("inspect", "-f", "{{.State.Health.Status}}", container)

    eventually(lambda: health() == "healthy", within=60, what="healthy")
    docker("exec", container, "python", "manage.py", "drain")
    eventually(lambda: health() == "unhealthy", within=60, what="unhealthy while it drains")


def test_missing_secret_key_is_one_clear_line(start: Start) -> None:
    container, _ = start(SECRET_KEY="")
    assert exit_code(container) == 1
    assert "SECRET_KEY is not set" in logs(container)
    assert "Traceback" not in logs(container)


def test_unreachable_database_ends_after_the_bound_with_the_reason(start: Start) -> None:
    container, _ = start(DATABASE_URL=URL, DATABASE_WAIT_SECONDS="2")
    assert exit_code(container) == 1
    assert "The database did not answer within 2 s" in logs(container)
    assert "postgres" in logs(container)
    assert "of-this-test" not in logs(container)
    assert "Traceback" not in logs(container)


def test_unwritable_sqlite_folder_is_one_clear_line(start: Start) -> None:
    container, _ = start(DATABASE_URL="sqlite:////nowhere/pacsync.sqlite3", command=("migrate",))
    assert exit_code(container) == 1
    assert "can't be written" in logs(container)
    assert "Traceback" not in logs(container)


def test_lock_file_that_root_left_behind_is_no_obstacle(start: Start, image: str) -> None:
    user = json.loads(docker("image", "inspect", image))[0]["Config"]["User"]
    volume = docker("volume", "create", "--label", LABEL)
    left = f"touch /data/pacsync.sqlite3.migrate && chown {user} /data"
    docker("run", "--rm", "--user", "0", "-v", f"{volume}:/data", image, "sh", "-c", left)
    try:
        container, _ = start(
            "-v", f"{volume}:/data", command=("migrate",), DATABASE_URL="sqlite:////data/pacsync.sqlite3"
        )
        assert exit_code(container) == 0, logs(container)
        docker("rm", container)
    finally:
        docker("volume", "rm", "-f", volume)


def test_serve_never_migrates_unless_told(start: Start) -> None:
    _, port = start()

    def reason() -> object:
        return json.loads(fetch(port, "/health/ready")[2]).get("reason")

    eventually(lambda: reason() == "migrations_pending", within=60, what="it says that migrations are pending")
    assert status(port, "/health/live") == 200


def test_three_instances_that_migrate_at_once_all_become_ready(start: Start, network: str, database: str) -> None:
    """They start together, before PostgreSQL answers: they wait, one migrates, the others find it done."""
    options = ("--network", network)
    made = [start(*options, DATABASE_URL=URL, AUTO_MIGRATE="true", DB_POOL_MIN_SIZE=1) for _ in range(3)]
    for container, port in made:
        try:
            eventually(lambda port=port: status(port, "/health/ready") == 200, within=120, what="ready")  # type: ignore[misc]
        except AssertionError:
            raise AssertionError(logs(container)[-4000:]) from None
    said = [logs(container) for container, _ in made]
    assert sum("migrated" in text for text in said) == 1
    assert sum("the schema is up to date" in text for text in said) == 2


def test_migrate_and_manage_commands_run_and_end(start: Start, network: str, database: str) -> None:
    migrating, _ = start("--network", network, command=("migrate",), DATABASE_URL=URL)
    assert exit_code(migrating, within=120) == 0
    assert "migrated" in logs(migrating)
    checking, _ = start("--network", network, command=("manage", "healthcheck"), DATABASE_URL=URL)
    assert exit_code(checking) == 0, logs(checking)


def test_container_stopped_during_requests_answers_them_all(start: Start) -> None:
    """New connections, too, until the drain ends; without a load balancer only those after it may be refused."""
    container, port = start(AUTO_MIGRATE="true", SHUTDOWN_DRAIN_DELAY="2")
    eventually(lambda: status(port, "/health/ready") == 200, within=60, what="ready")
    began = time.monotonic()
    stopping = engine.in_background("docker", "stop", "-t", "45", container)
    answers = []
    while time.monotonic() - began < 1.5:
        answers.append(status(port, "/health/live"))
    assert set(answers) == {200}
    stopping.join()
    assert exit_code(container) == 0


def test_development_image_reloads_changed_code(start: Start, development_image: str) -> None:
    container, port = start(tag=development_image, AUTO_MIGRATE="true")
    eventually(lambda: status(port, "/health/ready") == 200, within=60, what="ready")
    command = docker("exec", container, "cat", "/proc/1/cmdline").replace("\0", " ")
    assert re.search(r"gunicorn .*--reload", command)
