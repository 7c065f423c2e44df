"""The package of the agent under a real systemd and a real pacman 7: units, hook, timer, and what pacman survives."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy import systemd
from tests.deploy.conftest import require_images
from tests.deploy.engine import LABEL, RUN, docker, eventually, run
from tests.support.pacman import CONTAINER_CONFIGURATION, Fleet

pytestmark = [pytest.mark.timeout(600), pytest.mark.needs("makepkg", "bsdtar", "zstd", "fakeroot")]
ENDPOINT = "pacsync-local/arch-endpoint"
AGENT = "pacsync-agent"
NETWORK = f"pacsync-test-systemd-{RUN}"
# What Arch's own package of systemd has as hooks.
HOOK = """[Trigger]
Type = Path
Operation = Install
Operation = Upgrade
Operation = Remove
Target = {target}
[Action]
When = PostTransaction
Exec = {command}
"""
HOOKS = {
    "30-tmpfiles": ("usr/lib/tmpfiles.d/*.conf", "/usr/bin/systemd-tmpfiles --create"),
    "30-daemon-reload": ("usr/lib/systemd/system/*", "/usr/bin/systemctl daemon-reload"),
}
# Whoever installs it waits in its scriptlet for as long as the test wants.
HELD = "post_install() { touch /tmp/working; while [ -e /tmp/hold ]; do sleep 0.1; done; }\n"


@pytest.fixture(scope="module")
def archive(containers: None) -> Iterator[Fleet]:
    """A repository, and stand-ins for what is Debian's on the machine."""
    require_images(ENDPOINT)
    directory = Path(tempfile.mkdtemp(prefix="pacsync-test-archive-"))
    fleet = Fleet(directory)
    package = fleet.package
    package("pacman", "7.0.0-1")
    package("python", "3.13-1")
    package("util-linux", "2.41-1")
    hooks = {f"usr/share/libalpm/hooks/{name}.hook": HOOK.format(target=target, command=command).encode()
             for name, (target, command) in HOOKS.items()}  # fmt: skip
    package("systemd", "257-1", files=hooks)
    fleet.snapshot("2025/01/01", [package("tool", "1.0-1"), package("held", "1.0-1", install=HELD)])
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    yield fleet
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def server(image: str) -> Iterator[str]:
    """A server that the machine reaches as http://server:8080, and that asks for a report once an hour."""
    docker("network", "create", "--label", LABEL, NETWORK)
    settings = ("-e", "SECRET_KEY=only-for-tests", "-e", "AUTO_MIGRATE=true", "-e", "POLL_SECONDS=3600")
    where = ("--network", NETWORK, "--network-alias", "server", "--label", LABEL)
    container = docker("run", "-d", *where, *settings, "-e", "ALLOWED_HOSTS=server", image)
    healthy = ("docker", "exec", container, "python", "manage.py", "healthcheck", "--url", "http://127.0.0.1:8080")
    eventually(lambda: run(*healthy, check=False).returncode == 0, within=60, every=1, what="the server is ready")
    yield container
    docker("rm", "-f", "-v", container)
    run("docker", "network", "rm", NETWORK, check=False)


def manage(server: str, *arguments: str) -> str:
    return docker("exec", server, "python", "manage.py", *arguments).split()[-1]


class Endpoint(systemd.Machine):
    """A machine with the agent's package, and the token of an operator to ask the server about it."""

    token = ""

    def api(self, path: str, body: object = None) -> dict[str, object]:
        data = f"-H 'Content-Type: application/json' -d '{json.dumps(body)}'" if body is not None else ""
        answer = self.sh(f"curl -fsS -H 'Authorization: Bearer {self.token}' {data} http://server:8080/api/v1/{path}")
        found = json.loads(answer)
        assert isinstance(found, dict)
        return found

    def reported(self) -> object:
        return self.api("endpoints/endpoint")["state"]

    def sync_until_pacman_works(self) -> None:
        """Queue a sync, and return when pacman is in the middle of it."""
        self.sh("pacman -R --noconfirm held && rm -f /tmp/working && touch /tmp/hold")
        self.sh(f"{AGENT} once --report-only")
        self.api("operations", {"endpoint": "endpoint", "kind": "sync"})
        self.sh(f"systemctl restart {AGENT}")
        eventually(lambda: self.sh("ls /tmp/working", check=False) == "/tmp/working", within=60, what="pacman works")

    def let_pacman_end(self) -> None:
        self.sh("rm -f /tmp/hold")
        eventually(lambda: self.sh("pgrep -x pacman", check=False) == "", within=60, what="pacman has ended")


@pytest.fixture(scope="module")
def bare(archive: Fleet, agent_package: Path, server: str) -> Iterator[Endpoint]:
    """A machine before the agent is installed."""
    # procps: /usr/bin/pgrep, of the tests.
    with systemd.image("endpoint", ENDPOINT, packages="procps") as tag:
        mounts = (f"{archive.directory}:{archive.directory}:ro", f"{agent_package.parent}:/built:ro")
        options = [part for mount in mounts for part in ("-v", mount)]
        machine = Endpoint(tag, "--network", NETWORK, "--hostname", "endpoint", *options)
        try:
            packages = archive.archive / "packages"
            configuration = CONTAINER_CONFIGURATION.format(url=archive.base_url, day="2025/01/01")
            machine.sh(
                f"cat >/etc/pacman.conf <<'END'\n{configuration}END\n"
                "pacman -Syy --noconfirm\n"
                f"pacman -U --noconfirm {packages}/p/pacman/* {packages}/p/python/* "
                f"{packages}/s/systemd/* {packages}/u/util-linux/*"
            )
            yield machine
        finally:
            machine.remove()


@pytest.fixture(scope="module")
def unenrolled(bare: Endpoint, agent_package: Path) -> tuple[Endpoint, str]:
    """The machine with the package on it, and what pacman said."""
    return bare, bare.sh(f"pacman -U --noconfirm /built/{agent_package.name}")


@pytest.fixture(scope="module")
def endpoint(unenrolled: tuple[Endpoint, str], server: str) -> Endpoint:
    """Enrolled in a pool whose target has `tool` and `held`, and its service started."""
    machine, _ = unenrolled
    machine.token = manage(server, "create_api_token", "tests", "--role", "operator")
    machine.api("pools", {"name": "p"})
    code = manage(server, "create_enrolment_code", "--pool", "p", "--may-set-targets")
    machine.sh(
        "pacman -S --noconfirm tool held\n"
        f"{AGENT} enroll --server http://server:8080 --code {code}\n{AGENT} once\n{AGENT} set-latest\n"
        f"systemctl enable --now {AGENT}"
    )
    return machine


def test_package_before_enrolment_is_quiet_and_has_its_folder(unenrolled: tuple[Endpoint, str]) -> None:
    machine, said = unenrolled
    assert machine.sh("stat -c '%U %a' /var/lib/pacsync-agent") == "root 755"
    for unit in ("pacsync-agent.service", "pacsync-agent.timer"):
        machine.sh(f"systemctl start {unit}")
        machine.sh(f"systemctl stop {unit}")
    said += machine.sh("pacman -S --noconfirm tool && pacman -R --noconfirm tool")
    assert "error" not in said
    assert machine.sh("systemctl --failed --no-legend") == ""


def test_hook_without_a_running_systemd_is_quiet(unenrolled: tuple[Endpoint, str]) -> None:
    machine, _ = unenrolled
    without = "unshare -m sh -c 'mount -t tmpfs none /run && pacman {} --noconfirm tool'"
    said = machine.sh("\n".join(map(without.format, ("-S", "-R"))))
    assert "Reporting the new packages" in said
    assert "error" not in said
    assert "systemd" not in said


def test_hook_reports_at_once_while_the_service_runs(endpoint: Endpoint) -> None:
    """The service itself asks once an hour."""
    before = endpoint.reported()
    endpoint.sh("pacman -R --noconfirm tool")
    eventually(lambda: endpoint.reported() != before, within=60, what="the server knows of the removal")
    endpoint.sh("pacman -S --noconfirm tool")
    eventually(lambda: endpoint.reported() == before, within=60, what="the server knows of the installation")


def test_stopped_agent_leaves_pacman_at_work_and_the_next_start_finishes(endpoint: Endpoint) -> None:
    endpoint.sync_until_pacman_works()
    endpoint.sh(f"systemctl stop {AGENT}")  # waits for the agent, and the agent doesn't wait for pacman
    assert (endpoint.show(AGENT, "ActiveState"), endpoint.show(AGENT, "Result")) == ("inactive", "success")
    assert endpoint.sh("pgrep -x pacman")
    endpoint.let_pacman_end()
    assert endpoint.sh("pacman -Qq held") == "held"
    endpoint.sh(f"systemctl start {AGENT}")
    eventually(lambda: endpoint.api("endpoints/endpoint")["status"] == "in_sync", within=60, what="it has finished it")


def test_killed_agent_leaves_pacman_alone_and_the_next_one_finishes(endpoint: Endpoint) -> None:
    endpoint.sync_until_pacman_works()
    endpoint.sh(f"kill -9 {endpoint.show(AGENT, 'MainPID')}")
    eventually(lambda: endpoint.show(AGENT, "ActiveState") != "active", within=30, what="systemd has seen it")
    assert endpoint.sh("pgrep -x pacman")
    endpoint.let_pacman_end()
    endpoint.sh(f"systemctl start {AGENT}")
    eventually(lambda: endpoint.api("endpoints/endpoint")["status"] == "in_sync", within=60, what="it has finished it")
    assert endpoint.sh("pacman -Qq held") == "held"


def test_timer_beside_the_service_leaves_it_running(endpoint: Endpoint) -> None:
    endpoint.sh(f"systemctl start {AGENT} {AGENT}.timer {AGENT}-once")
    assert endpoint.systemctl("is-active", AGENT, f"{AGENT}.timer").split() == ["active", "active"]
    assert endpoint.show(f"{AGENT}-once", "Result") == "success"


def test_removed_package_stops_its_agent_and_keeps_the_folder(endpoint: Endpoint) -> None:
    endpoint.sh(f"systemctl enable --now {AGENT} {AGENT}.timer && pacman -R --noconfirm {AGENT}")
    eventually(lambda: endpoint.sh(f"pgrep -f '{AGENT} run'", check=False) == "", within=60, what="no agent runs")
    assert endpoint.sh("find /etc/systemd/system -name 'pacsync-agent*'") == ""
    endpoint.sh("test -e /var/lib/pacsync-agent/credentials.json")
