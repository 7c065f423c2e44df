"""A real HAProxy in front of servers, on a free loopback port: no retries, health checks as in deploy/haproxy."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.isolation import run_folder
from tests.support.postgres import free_port

CONFIGURATION = """
global
    stats socket {folder}/admin mode 600
defaults
    mode http
    retries 0
    timeout connect 2s
    timeout client 20s
    timeout server 20s
frontend front
    bind 127.0.0.1:{port}
    default_backend back
backend back
    balance roundrobin
    option httpchk GET /health/ready
    http-check expect status 200
    default-server check inter 200ms fall 2 rise 2
{servers}
"""


@contextmanager
def running_haproxy(ports: Sequence[int]) -> Iterator[int]:
    """The port of the proxy, while it runs."""
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="haproxy-", dir=run_folder()))
    servers = "\n".join(f"    server s{number} 127.0.0.1:{one}" for number, one in enumerate(ports))
    (folder / "haproxy.cfg").write_text(CONFIGURATION.format(folder=folder, port=port, servers=servers))
    program = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/sbin") or "haproxy"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "-f", folder / "haproxy.cfg"], stdout=log, stderr=log)
    try:
        yield port
    finally:
        process.terminate()
        process.wait(timeout=10)
        shutil.rmtree(folder)
