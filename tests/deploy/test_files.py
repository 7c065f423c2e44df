"""The other files that operators copy, each read by the program that it is for. No container engine is needed."""

import json
import re
import sys
from pathlib import Path

import pytest

from tests.deploy.engine import ROOT, run
from tests.support.postgres import free_port
from tests.support.server import environment

SCRIPTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "deploy").rglob("*")
    if path.is_file() and re.match(rb"#!.*sh\n", path.read_bytes())
)


@pytest.mark.needs("shellcheck")
@pytest.mark.parametrize("script", SCRIPTS)
def test_script_passes_shellcheck(script: str) -> None:
    run("shellcheck", ROOT / script)


@pytest.mark.needs("haproxy")
@pytest.mark.parametrize("variables", [{}, {"LISTEN_IPV6": "yes"}], ids=["ipv4", "ipv6"])
def test_haproxy_configuration_is_valid_without_a_warning(variables: dict[str, str]) -> None:
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **variables}
    done = run("haproxy", "-c", "-f", ROOT / "deploy/haproxy/haproxy.cfg", env=env)
    assert "WARNING" not in done.stdout + done.stderr


def test_haproxy_leaves_a_draining_instance_well_before_the_drain_ends() -> None:
    text = (ROOT / "deploy/haproxy/haproxy.cfg").read_text()
    seconds = {name: float(value) / (1000 if unit == "ms" else 1) for name, value, unit in INTERVALS.findall(text)}
    assert re.search(r"fall 2\b", text)
    drain = re.search(r"SHUTDOWN_DRAIN_DELAY:-(\d+)", (ROOT / "docker-compose.yml").read_text())
    assert drain
    # The check that is due next, and the one that confirms it, each answered as late as it may be.
    assert seconds["inter"] + seconds["fastinter"] + 2 * seconds["timeout check"] < float(drain[1])


INTERVALS = re.compile(r"\b(inter|fastinter|timeout check) (\d+)(ms|s)\b")


def test_haproxy_statistics_are_not_open_for_changes() -> None:
    text = (ROOT / "deploy/haproxy/haproxy.cfg").read_text()
    assert not re.search(r"^\s*stats (admin|socket)", text, re.MULTILINE)


def dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text()


def test_dockerfile_needs_no_buildkit() -> None:
    assert not re.search(r"^RUN --|^COPY --(chmod|link|parents|exclude)|<<|^# ?syntax=", dockerfile(), re.MULTILINE)


def test_dockerfile_ends_with_production_and_has_its_contract() -> None:
    stages = re.findall(r"^FROM \S+ AS (\S+)$", dockerfile(), re.MULTILINE)
    assert stages[-1] == "production"
    assert {"base", "development"} <= set(stages)
    production = dockerfile().split("AS production")[1]
    assert "HEALTHCHECK --interval=30s --timeout=10s --start-period=10s --retries=3" in production
    assert "STOPSIGNAL SIGTERM" in production
    assert re.search(r"^USER \d+:\d+$", production, re.MULTILINE), "a number, so that runAsNonRoot can be checked"


def test_dockerignore_lets_in_no_secret_and_no_history() -> None:
    lines = (ROOT / ".dockerignore").read_text().split("\n")
    assert lines[1] == "*", "everything is left out but what is named"
    named = {line.removeprefix("!").split("/")[0] for line in lines if line.startswith("!")}
    assert not named & {".env", ".git", "data", "tests", "docs"}


@pytest.mark.parametrize(
    "name", ["Dockerfile", "docker-compose.yml", "docker-compose.scale.yml", "docker-compose.tls.yml"]
)
def test_container_file_names_no_default_password(name: str) -> None:
    assert not re.search(r"(PASSWORD|SECRET_KEY)[A-Z_]*:?-[^}]", Path(ROOT / name).read_text())


def test_wait_for_a_database_that_refuses_says_why_while_it_waits() -> None:
    url = f"postgresql://pacsync:of-this-test@127.0.0.1:{free_port()}/pacsync"
    env = environment(url, DATABASE_WAIT_SECONDS=1, STRUCTURED_LOGGING="true")
    done = run(sys.executable, ROOT / "deploy" / "database.py", "wait", env=env, check=False)
    said = done.stderr.splitlines()
    waits = json.loads(said[0])
    assert re.fullmatch(r"waiting up to 1 s for it to answer: .*refused.*", waits.pop("message"))
    assert (waits["level"], json.loads(said[-1])["level"]) == ("INFO", "ERROR")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", waits["timestamp"])
    assert len(said) == 2, "each reason once, and the end"
    assert "of-this-test" not in done.stderr
    assert done.returncode == 1
