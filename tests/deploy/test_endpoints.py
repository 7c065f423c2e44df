"""Real pacman 7 machines in containers of their own, enrolled through HAProxy, brought to one target while every
instance of the server is replaced."""

import json
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.conftest import require_images
from tests.deploy.engine import LABEL, Stack, docker, eventually, fetch, run
from tests.deploy.scaled import JSON, SERVER, ready
from tests.support.pacman import CONTAINER_CONFIGURATION, TRUSTING, Fleet

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("endpoint_image")]
# Debian's pacman 7 with Python; made from Debian by whoever sets the machine up.
ENDPOINT = "pacsync-local/arch-endpoint"


@pytest.fixture(scope="module")
def endpoint_image(containers: None) -> None:
    require_images(ENDPOINT)


@pytest.fixture(scope="module")
def archive(endpoint_image: None) -> Iterator[Fleet]:
    """Two days: an upgrade with a soname break, an epoch, a package that goes, those that come, and a foreign one.

    pacman 7 compares a package's entry with its file: dependencies, conflicts, replacements, provisions, groups, size.
    """
    directory = Path(tempfile.mkdtemp(prefix="pacsync-test-archive-"))
    fleet = Fleet(directory)
    package = fleet.package
    old = [
        package("libfoo", "1.0-1", "x86_64", provides=["libfoo.so=1-64"]),
        package("app", "1.0-1", "x86_64", depends=["libfoo.so=1-64"]),
        package("tool", "1.1-1"),
        package("plug", "1.0-1"),
    ]
    new = [
        package("libfoo", "2.0-1", "x86_64", provides=["libfoo.so=2-64"]),
        package("app", "2.0-1", "x86_64", depends=["libfoo.so=2-64"], groups=["suite"], replaces=["old-app"]),
        package("tool", "1:0.9-1"),
        package("extra", "1.0-1", depends=["base=1"], conflicts=["extra-git"]),
        package("base", "1-1", provides=["base-files"]),
    ]
    fleet.snapshot("2025/01/01", old)
    fleet.snapshot("2025/02/01", new)
    package("foreign", "0.1-1")
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    yield fleet
    shutil.rmtree(directory, ignore_errors=True)


class ContainerMachine:
    """One container with pacman 7 on its own root."""

    def __init__(self, project: Stack, archive: Fleet, name: str) -> None:
        self.archive, self.name = archive, name
        where = ("--network", f"{project.name}_front", "--hostname", name, "--label", LABEL)
        mount = ("-v", f"{archive.directory}:{archive.directory}:ro")
        self.container = docker("run", "-d", *where, *mount, ENDPOINT)
        run("docker", "exec", "-i", self.container, "tee", "/etc/pacsync-agent.conf", input=TRUSTING)
        self.go_to("2025/01/01")

    def sh(self, script: str, *, check: bool = True) -> str:
        done = run("docker", "exec", "-e", "LC_ALL=C", self.container, "sh", "-ec", script, check=False, timeout=180)
        assert not check or done.returncode == 0, f"{self.name}: {script}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def go_to(self, day: str) -> None:
        """Use the repositories of that day from now on."""
        text = CONTAINER_CONFIGURATION.format(url=self.archive.base_url, day=day)
        run("docker", "exec", "-i", self.container, "tee", "/etc/pacman.conf", input=text)
        self.sh("pacman -Syy --noconfirm >/dev/null")

    def installed(self) -> set[str]:
        return set(self.sh("pacman -Q").splitlines())

    def remove(self) -> None:
        run("docker", "rm", "-f", "-v", self.container, check=False)


@pytest.fixture
def machines(three: Stack, archive: Fleet) -> Iterator[list[ContainerMachine]]:
    """m1 and m3 of January, m2 of February; m3 has a foreign package. All enrolled into one pool, through HAProxy."""
    made = [ContainerMachine(three, archive, name) for name in ("m1", "m2", "m3")]
    try:
        for machine in made:
            machine.sh("pacman -S --noconfirm app tool plug")
        made[1].go_to("2025/02/01")
        made[1].sh("pacman -Su --noconfirm && pacman -S --noconfirm extra && pacman -R --noconfirm plug")
        made[2].sh(f"pacman -U --noconfirm {archive.archive}/packages/f/foreign/foreign-0.1-1-any.pkg.tar.zst")
        code = pool_and_code(three)
        for machine in made:
            machine.sh(
                "cd /usr/bin && curl -fsSO http://haproxy:8080/agent/pacsync-agent && chmod 755 pacsync-agent\n"
                "curl -fsS http://haproxy:8080/agent/pacsync-agent.sha256 | sha256sum -c --quiet\n"
                f"pacsync-agent enroll --server http://haproxy:8080 --code {code}\n"
                "pacsync-agent once"
            )
        yield made
    finally:
        for machine in made:
            machine.remove()


def pool_and_code(project: Stack) -> str:
    """A pool, and a code that enrols three machines into it."""
    server = project.containers(SERVER)[0]

    def manage(*arguments: str) -> str:
        return docker("exec", server, "python", "manage.py", *arguments).split()[-1]

    token = manage("create_api_token", "tests", "--role", "operator")
    headers = {**JSON, "Authorization": f"Bearer {token}"}
    body = json.dumps({"name": "containers"}).encode()
    code, _, answer = fetch(project.port, "/api/v1/pools", method="POST", headers=headers, body=body)
    assert code == 201, answer
    return manage("create_enrolment_code", "--pool", "containers", "--uses", "3", "--may-set-targets")


def replace_each_instance(project: Stack) -> None:
    """A rolling update by hand: one after the other is stopped, started, and ready again."""
    for container in project.containers(SERVER):
        docker("stop", "-t", "45", container)
        docker("start", container)
        eventually(lambda: len(ready(project)) == 3, within=90, what="the replaced instance is up")


@pytest.mark.long
def test_machines_reach_one_target_while_every_instance_is_replaced(
    three: Stack, machines: list[ContainerMachine]
) -> None:
    first, second, third = machines
    before = first.installed()
    second.sh("pacsync-agent set-latest --comment 'from the tests'")
    update = threading.Thread(target=replace_each_instance, args=(three,))
    update.start()
    rounds = 0
    try:
        while update.is_alive() or rounds == 0:
            for machine in (first, third):
                machine.sh("pacsync-agent sync")
            assert first.installed() == second.installed()
            first.sh("pacsync-agent revert")
            assert first.installed() == before
            third.sh("pacsync-agent revert")
            rounds += 1
    finally:
        update.join(timeout=300)
    assert not update.is_alive()
    for machine in (first, third):
        machine.sh("pacsync-agent sync")
        machine.sh("pacman -Dk")
    print(f"{rounds} rounds of sync and revert during the update of three instances")
    assert first.installed() == second.installed()
    assert third.installed() == second.installed() | {"foreign 0.1-1"}
    log = first.sh("wc -l </var/log/pacman.log")
    first.sh("pacsync-agent sync")
    assert first.sh("wc -l </var/log/pacman.log") == log, "a second sync does nothing"
