"""A machine with the real systemd and the real pacman 7, an archive of packages for it, and a server that it reaches.

It must not know what a test does with them, nor how the agent gets onto the machine.
"""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.deploy import systemd
from tests.deploy.conftest import require_images
from tests.deploy.engine import LABEL, RUN, docker, eventually, run
from tests.support.pacman import CONTAINER_CONFIGURATION, Fleet

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


@contextlib.contextmanager
def archive() -> Iterator[Fleet]:
    """A repository, and stand-ins for what is Debian's on the machine."""
    require_images(ENDPOINT)
    directory = Path(tempfile.mkdtemp(prefix="pacsync-test-archive-"))
    fleet = Fleet(directory)
    package = fleet.package
    package("pacman", "7.0.0-1")
    package("python", "3.13-1")
    package("util-linux", "2.40-1")
    hooks = {f"usr/share/libalpm/hooks/{name}.hook": HOOK.format(target=target, command=command).encode()
             for name, (target, command) in HOOKS.items()}  # fmt: skip
    package("systemd", "257-1", files=hooks)
    fleet.snapshot("2025/01/01", [package("tool", "1.0-1"), package("held", "1.0-1", install=HELD)])
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    yield fleet
    shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
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


class Endpoint(systemd.SystemdMachine):
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


@contextlib.contextmanager
def bare(archive: Fleet, agent_package: Path) -> Iterator[Endpoint]:
    """A machine before the agent is installed; its package is in /built. A server has to be there first."""
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
                f"cd {packages}\npacman -U --noconfirm p/pacman/* p/python/* s/systemd/* u/util-linux/*"
            )
            yield machine
        finally:
            machine.remove()
