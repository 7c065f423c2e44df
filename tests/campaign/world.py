"""What runs during a campaign: PostgreSQL, two instances behind HAProxy, simulated machines and one with real pacman.

It must not know which faults there are. What ends is started again, as an orchestrator does it.
"""

import contextlib
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.support import agent
from tests.support.pacman import Fleet, Machine
from tests.support.postgres import Postgres, free_port, running_postgres
from tests.support.server import Server, manage, migrate

OLD, NEW = "2025/01/01", "2025/02/01"
HAPROXY = """
global
    maxconn 2000
defaults
    mode http
    retries 3
    option redispatch 1
    option http-server-close
    timeout connect 1s
    timeout client 30s
    timeout server 30s
    timeout queue 5s
frontend front
    bind 127.0.0.1:{port}
    default_backend back
backend back
    balance roundrobin
    option httpchk GET /health/ready
    http-check expect status 200
    retry-on conn-failure empty-response
    http-request disable-l7-retry unless {{ method GET HEAD PUT }}
    default-server check inter 500ms fastinter 250ms fall 2 rise 2
{servers}
"""


class Proxy:
    """HAProxy on `port`, in front of these instances."""

    def __init__(self, folder: Path, ports: list[int]) -> None:
        self.port, self.folder = free_port(), folder
        servers = "\n".join(f"    server s{number} 127.0.0.1:{port}" for number, port in enumerate(ports))
        (folder / "haproxy.cfg").write_text(HAPROXY.format(port=self.port, servers=servers))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/sbin") or "haproxy"
        with (self.folder / "haproxy.log").open("ab") as log:
            self.process = subprocess.Popen([program, "-f", self.folder / "haproxy.cfg"], stdout=log, stderr=log)

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)


class RealMachine(threading.Thread):
    """An enrolled machine with real pacman, whose agent is started again and again; `tracebacks` is what it printed."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(daemon=True, name=machine.name)
        self.machine, self.ended = machine, threading.Event()
        self.process: subprocess.Popen[str] | None = None
        self.runs, self.tracebacks = 0, list[str]()

    def run(self) -> None:
        while not self.ended.wait(0.5):
            self.process = agent.start(self.machine, "once")
            said, _ = self.process.communicate()
            self.runs += 1
            if "Traceback" in said:
                self.tracebacks.append(said)


class World:
    """Everything that runs; `keep_alive` starts again what has ended, until `close`."""

    def __init__(self, folder: Path, postgres: Postgres) -> None:
        self.folder, self.postgres = folder, postgres
        self.url = postgres.create_database("campaign")
        migrate(self.url)
        environment = {
            "WEB_CONCURRENCY": 2,
            "DB_POOL_MAX_SIZE": 8,
            "POLL_SECONDS": 1,
            "SHUTDOWN_DRAIN_DELAY": 2,
            "SHUTDOWN_TIMEOUT": 10,
            "HEALTH_CHECK_INTERVAL": 5,
            "STRUCTURED_LOGGING": "true",
        }
        self.instances = [
            Server(self.url, INSTANCE_NAME=f"i{number}", HTTP_PORT=free_port(), **environment) for number in range(2)
        ]
        self.proxy = Proxy(folder, [instance.port for instance in self.instances])
        self.ended = threading.Event()
        self.keeper = threading.Thread(target=self._keep_alive, daemon=True)
        self.held: set[object] = set()  # what a fault wants down for now
        self._told = 0

    def start(self) -> None:
        for instance in self.instances:
            instance.start()
        self.proxy.start()
        self.keeper.start()

    def _keep_alive(self) -> None:
        while not self.ended.wait(0.3):
            for instance in self.instances:
                if instance.process and instance.process.poll() is not None and instance not in self.held:
                    instance.kill()
                    with contextlib.suppress(AssertionError):
                        instance.start()
            if self.proxy.process and self.proxy.process.poll() is not None and self.proxy not in self.held:
                self.proxy.start()

    def close(self) -> None:
        self.ended.set()
        self.keeper.join(60)
        for instance in self.instances:
            instance.kill()
        if self.proxy.process and self.proxy.process.poll() is None:
            self.proxy.send(signal.SIGCONT)
            self.proxy.process.kill()

    def token(self) -> str:
        return self._manage("create_api_token", "campaign", "--role", "operator")

    def code(self, pool: str) -> str:
        return self._manage("create_enrolment_code", "--pool", pool, "--uses", "50", "--may-set-targets")

    def _manage(self, *arguments: str) -> str:
        done = manage(self.url, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip().splitlines()[-1]

    def tracebacks(self) -> list[str]:
        """The lines of the instances' logs that hold a traceback and weren't told before."""
        lines = [line[:4000] for one in self.instances for line in one.log().splitlines() if "Traceback" in line]
        told, self._told = self._told, len(lines)
        return lines[told:]


def real_machines(folder: Path) -> tuple[Machine, Machine]:
    """The machine that is synced, and the one that its targets are taken from."""
    fleet = Fleet(folder)
    make = fleet.package
    many = {f"usr/share/tool/{number}": b"2" for number in range(400)}
    fleet.snapshot(OLD, [make("tool", "1-1"), make("gone", "1-1")])
    fleet.snapshot(NEW, [make("tool", "2-1", files=many), make("extra", "1-1")])
    one, two = fleet.machine("m1", OLD), fleet.machine("m2", OLD)
    for machine in (one, two):
        machine.install("tool", "gone")
    return one, two


def upgrade(machine: Machine) -> None:
    """Bring the source to the newer snapshot."""
    machine.go_to(NEW)
    machine.upgrade()
    machine.pacman("-R", "gone")
    machine.install("extra")


@contextlib.contextmanager
def running_world(folder: Path) -> Iterator[World]:
    """A started world, ended at the end."""
    with running_postgres() as postgres:
        world = World(folder, postgres)
        try:
            world.start()
            yield world
        finally:
            world.close()


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether `condition` became true within `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if condition():
                return True
        time.sleep(0.1)
    return False
