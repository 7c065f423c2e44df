"""HAProxies of a test's own in the network of a stack: the shipped configuration, changed or run otherwise.

It must not know what is asked through them.
"""

import socket
from pathlib import Path

from tests.deploy.engine import LABEL, ROOT, Stack, docker, eventually, status
from tests.support.postgres import free_port

SHIPPED = ROOT / "deploy" / "haproxy"
# As the image runs it, without serve.sh.
BARE = ("haproxy", "-W", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg")
SERVED = ("bash", "/usr/local/etc/haproxy/serve.sh")


def start(project: Stack, folder: Path, command: tuple[str, ...], changes: dict[str, str]) -> tuple[str, int]:
    """Start one with these texts of haproxy.cfg replaced; its container and its port on loopback, when it serves."""
    text = (SHIPPED / "haproxy.cfg").read_text()
    for before, after in changes.items():
        assert before in text, f"haproxy.cfg has no {before!r} any more"
        text = text.replace(before, after)
    folder.mkdir()
    (folder / "haproxy.cfg").write_text(text)
    (folder / "serve.sh").write_text((SHIPPED / "serve.sh").read_text())
    for path in (*folder.parents, folder, *folder.iterdir()):
        if path.stat().st_uid == folder.stat().st_uid and "pytest-of-" in str(path):
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
    port = free_port()
    where = ("--network", f"{project.name}_front", "-p", f"127.0.0.1:{port}:8080", "--label", LABEL)
    labels = ("--label", f"com.docker.compose.project={project.name}", "--label", "com.docker.compose.service=beside")
    files = ("-v", f"{folder}:/usr/local/etc/haproxy:ro")
    container = docker("run", "-d", *where, *labels, *files, "haproxy:3.0", *command)
    eventually(lambda: status(port, "/health/live") == 200, within=60, what="the HAProxy beside serves")
    return container, port


def idle(port: int, number: int) -> list[socket.socket]:
    """Connections that do nothing: every other one has had an answer, the rest never asked."""
    made = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(number)]
    for connection in made[::2]:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    return made
