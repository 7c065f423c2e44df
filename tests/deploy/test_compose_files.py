"""The compose files as text: valid for docker-compose 1.29 and for Compose v2, with no secret in them."""

import re
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.engine import BASE, ROOT, SCALED, TLS, environment, run

SERVICES = ("pacman-sync-server", "haproxy", "postgres")
# Keys that only one of docker-compose 1.29 and Compose v2 knows, or that they understand differently.
ONE_SIDED = {"version", "name", "include", "develop", "start_interval", "pull_policy", "env_file", "extends", "deploy"}


def parsed(name: str) -> dict[str, Any]:
    found = yaml.safe_load((ROOT / name).read_text())
    assert isinstance(found, dict)
    return found


def config(*files: str, cwd: Path, env: Path | None = None, profiles: tuple[str, ...] = ()) -> dict[str, Any]:
    options = [part for file in files for part in ("-f", str(ROOT / file))]
    options += [part for profile in profiles for part in ("--profile", profile)]
    options += ["--env-file", str(env)] if env else []
    return yaml.safe_load(run("docker-compose", *options, "config", cwd=cwd, env=environment()).stdout)  # type: ignore[no-any-return]


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    """What `make env` writes, made in a copy of the script's place."""
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy", ignore=shutil.ignore_patterns("__pycache__"))
    run(tmp_path / "deploy" / "make-env.sh")
    return tmp_path / ".env"


def keys(node: object) -> set[str]:
    if isinstance(node, dict):
        return {str(key) for key in node} | {key for value in node.values() for key in keys(value)}
    if isinstance(node, list):
        return {key for value in node for key in keys(value)}
    return set()


@pytest.mark.parametrize("name", (*SCALED, *TLS[1:]))
def test_compose_file_has_no_key_of_one_version_only(name: str) -> None:
    assert not keys(parsed(name)) & ONE_SIDED


@pytest.mark.needs("docker-compose")
def test_compose_config_of_every_documented_command_is_valid(env_file: Path) -> None:
    assert set(SERVICES) <= set(config(*BASE, cwd=ROOT, env=env_file, profiles=("postgres",))["services"])
    scaled = config(*SCALED, cwd=ROOT, env=env_file, profiles=("monitoring",))["services"]
    assert {*SERVICES, "prometheus", "alertmanager", "grafana"} <= set(scaled)


@pytest.mark.needs("docker-compose")
@pytest.mark.parametrize("secret", ["SECRET_KEY", "POSTGRES_PASSWORD"])
def test_scaled_compose_without_a_secret_says_which_and_what_to_do(env_file: Path, secret: str) -> None:
    lines = [line for line in env_file.read_text().splitlines() if not line.startswith(secret)]
    env_file.write_text("\n".join(lines))
    options = [part for file in SCALED for part in ("-f", str(ROOT / file))]
    done = run("docker-compose", *options, "--env-file", env_file, "config", check=False, env=environment())
    assert done.returncode != 0
    assert f"{secret} is not set - run `make env` first" in done.stderr


@pytest.mark.needs("docker-compose")
def test_compose_without_any_env_file_is_read_for_the_development_service(tmp_path: Path) -> None:
    """Compose reads the whole file for a single service: so the entry point refuses what production lacks."""
    nothing = tmp_path / "env"
    nothing.touch()
    services = config(*BASE, cwd=ROOT, env=nothing, profiles=("development",))["services"]
    development = services["pacman-sync-dev"]["environment"]
    assert "SECRET_KEY" not in development, "it has a key of its own"
    server = services["pacman-sync-server"]["environment"]
    for name in server["REQUIRED_VARIABLES"].split():
        assert server[name] == ""


@pytest.mark.needs("docker-compose")
def test_compose_takes_the_number_of_instances_from_the_env_file(env_file: Path) -> None:
    assert "\nPACSYNC_INSTANCES=1\n" in env_file.read_text()
    env_file.write_text(env_file.read_text().replace("PACSYNC_INSTANCES=1", "PACSYNC_INSTANCES=3"))
    for files in (BASE, SCALED, TLS):
        assert config(*files, cwd=ROOT, env=env_file)["services"]["pacman-sync-server"]["scale"] == 3


@pytest.mark.needs("docker-compose")
def test_compose_services_are_contained(env_file: Path) -> None:
    services = config(*SCALED, cwd=ROOT, env=env_file)["services"]
    assert set(services) == {*SERVICES, "backup", "pacman-sync-dev", "prometheus", "alertmanager", "grafana"}
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}, name
        assert service["healthcheck"]["test"], name
        assert re.fullmatch(r"\d+[mg]", str(service["mem_limit"])), name
        assert 0 < int(service["pids_limit"]) <= 2048, name
        assert "privileged" not in service, name
        assert not any("docker.sock" in str(volume) for volume in service.get("volumes", ())), name
    assert {name for name, service in services.items() if "cap_add" in service} == {"postgres"}


@pytest.mark.needs("docker-compose")
def test_compose_database_is_reached_by_the_instances_and_the_backup_only(env_file: Path) -> None:
    found = config(*SCALED, cwd=ROOT, env=env_file)
    networks = {name: set(service.get("networks", ())) for name, service in found["services"].items()}
    assert found["networks"]["database"] == {"internal": True}
    assert {name for name, joined in networks.items() if "database" in joined} == {*SERVICES, "backup"} - {"haproxy"}
    for name in ("postgres", "backup"):
        assert networks[name] == {"database"}
    assert networks["grafana"] == {"monitoring"}


@pytest.mark.needs("docker-compose")
def test_compose_publishes_on_all_addresses_only_the_service(env_file: Path) -> None:
    services = config(*SCALED, *TLS[1:], cwd=ROOT, env=env_file)["services"]
    found = [(name, str(port)) for name, service in services.items() for port in service.get("ports", ())]
    assert {name for name, port in found} == {"haproxy", "pacman-sync-dev", "prometheus", "alertmanager", "grafana"}
    public = {(name, *sorted(set(re.findall(r"\d{3,}", port)))) for name, port in found if "127.0.0.1" not in port}
    assert public == {("haproxy", "8080"), ("haproxy", "443", "8443")}


@pytest.mark.needs("docker-compose")
def test_compose_server_stops_in_time_and_can_be_scaled(env_file: Path) -> None:
    server = config(*SCALED, cwd=ROOT, env=env_file)["services"]["pacman-sync-server"]
    assert server["stop_grace_period"] == "45s"
    assert float(server["environment"]["SHUTDOWN_TIMEOUT"]) < 45
    assert "ports" not in server, "a published port could not be scaled"


@pytest.mark.needs("docker-compose")
def test_compose_scaled_connections_fit_into_postgresql(env_file: Path) -> None:
    services = config(*SCALED, cwd=ROOT, env=env_file)["services"]
    limit = int(re.search(r"max_connections=(\d+)", " ".join(services["postgres"]["command"]))[1])  # type: ignore[index]
    slots = int(re.search(r"server-template \S+ (\d+)", (ROOT / "deploy/haproxy/haproxy.cfg").read_text())[1])  # type: ignore[index]
    # Each instance, the two connections of one that migrates, and 3 reserved for the administrator.
    assert slots * (int(services["pacman-sync-server"]["environment"]["DB_POOL_MAX_SIZE"]) + 1) + 3 <= limit


def test_make_env_writes_a_private_file_with_new_secrets(env_file: Path) -> None:
    assert stat.S_IMODE(env_file.stat().st_mode) == 0o600
    values = dict(line.split("=", 1) for line in env_file.read_text().splitlines() if re.match(r"[A-Z_]+=", line))
    assert len(values["SECRET_KEY"]) >= 50
    assert len(values["POSTGRES_PASSWORD"]) >= 24
    assert values["SECRET_KEY"] != values["POSTGRES_PASSWORD"]
    # It goes into a URL as it is.
    assert re.fullmatch(r"[A-Za-z0-9_-]+", values["POSTGRES_PASSWORD"])


def test_make_env_without_what_makes_secrets_writes_nothing_and_fails(env_file: Path, tmp_path: Path) -> None:
    env_file.unlink()
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("nice", "sh", "dirname", "cat", "tr", "head"):  # no base64, and no Python anyway
        (programs / name).symlink_to(str(shutil.which(name)))
    done = run(env_file.parent / "deploy" / "make-env.sh", check=False, env={"PATH": str(programs)})
    assert done.returncode != 0
    assert "be made here" in done.stderr
    assert not env_file.exists()


@pytest.mark.parametrize("blocks", [0, 1])
def test_make_env_on_a_full_disk_leaves_nothing_behind(env_file: Path, blocks: int) -> None:
    env_file.unlink()
    script = env_file.parent / "deploy" / "make-env.sh"
    done = run("sh", "-c", f"trap '' XFSZ; ulimit -f {blocks}; exec sh {script}", check=False)
    assert done.returncode != 0
    assert "could not be written" in done.stderr
    assert not env_file.exists()


def test_make_env_with_an_existing_file_leaves_it_and_fails(env_file: Path) -> None:
    before = env_file.read_bytes()
    done = run(env_file.parent / "deploy" / "make-env.sh", check=False)
    assert done.returncode == 1
    assert "exists" in done.stderr
    assert env_file.read_bytes() == before
