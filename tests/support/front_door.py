"""The shipped deploy/haproxy/haproxy.cfg under a real HAProxy, in front of servers on loopback ports.

Only what names the stack's network is replaced: ports, the resolver, and how instances are found.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.postgres import free_port
from tests.support.server import ROOT
from tests.support.wait import until

SHIPPED = ROOT / "deploy" / "haproxy" / "haproxy.cfg"
PATH = "/usr/sbin:/usr/bin:/usr/local/sbin"


@dataclass(frozen=True)
class FrontDoor:
    """`port` is the service's, `monitoring` that of probes and metrics; `log` what HAProxy wrote."""

    port: int
    monitoring: int
    log: Path


def adapted(servers: Sequence[int], ports: dict[str, int], replaced: dict[str, str], nameserver: int = 0) -> str:
    """The shipped configuration for these servers; `replaced` are texts of it, for negative twins.

    With a nameserver (its port), the addresses of the instances come from it, and `servers` is their port.
    """
    text = SHIPPED.read_text()
    for old, new in replaced.items():
        assert old in text, old
        text = text.replace(old, new)
    for shipped, port in ports.items():
        text = text.replace(f"bind :{shipped}\n", f"bind 127.0.0.1:{port}\n")
        text = text.replace(f"bind [::]:{shipped} v6only\n", f"bind [::1]:{port} v6only\n")
    text = re.sub(r"nameserver dns \S+", f"nameserver dns 127.0.0.1:{nameserver or 1}", text)
    if nameserver:
        return text.replace("pacman-sync-server:8080", f"pacman-sync-server:{servers[0]}")
    lines = "\n".join(f"    server server{number} 127.0.0.1:{port}" for number, port in enumerate(servers, 1))
    text, count = re.subn(r"^ +server-template .*$", lines, text, flags=re.MULTILINE)
    assert count == 3
    return text


@contextmanager
def front_door(
    servers: Sequence[int], replaced: dict[str, str] | None = None, *, nameserver: int = 0, **env: object
) -> Iterator[FrontDoor]:
    """HAProxy, ready; `env` are variables of its environment."""
    ports = {"8080": free_port(), "8404": free_port(), "8405": free_port()}
    folder = Path(tempfile.mkdtemp(prefix="pacsync-front-door-"))
    (folder / "haproxy.cfg").write_text(adapted(servers, ports, replaced or {}, nameserver))
    program = shutil.which("haproxy", path=PATH) or "haproxy"
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("SOURCE_", "TRUSTED_"))}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "-f", folder / "haproxy.cfg"],
            env=outside | {name: str(value) for name, value in env.items()},
            stdout=log,
            stderr=log,
        )
    try:
        door = FrontDoor(ports["8080"], ports["8405"], folder / "log")
        until(lambda: _ready(door), 20)
        yield door
    finally:
        process.kill()
        process.wait(timeout=10)
        shutil.rmtree(folder)


def _ready(door: FrontDoor) -> bool:
    from tests.support.load import get

    try:
        return get(door.monitoring, "/health/ready")[0] == 200
    except OSError:
        return False
