"""Wherever a server listens, `healthcheck --url` and the image's HEALTHCHECK find it; gunicorn's options included."""

import contextlib
import http.client
import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.postgres import Postgres, free_port
from tests.support.server import ROOT, Server, environment
from tests.support.wait import until


class Elsewhere(Server):
    """A server at another address than this machine's 127.0.0.1; `where` is what `address()` says of it."""

    def answers(self) -> bool:
        return f"Listening at: {self.environment['LISTENS']} " in self.log()


def health(variables: dict[str, str], command: list[str]) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in variables.items() if name not in ("LISTENS", "GUNICORN_CMD_ARGS")}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=100)


ASK = [sys.executable, "manage.py", "healthcheck", "--url", "--wait", "60"]
BOUND = {
    "ipv4": ("127.0.0.1", "http://127.0.0.1:{port}"),
    "every ipv4": ("0.0.0.0", "http://0.0.0.0:{port}"),
    "another ipv4": ("127.0.0.7", "http://127.0.0.7:{port}"),
    "ipv6": ("::1", "http://[::1]:{port}"),
    "ipv6 in brackets": ("[::1]", "http://[::1]:{port}"),
    "every ipv6": ("::", "http://[::]:{port}"),
    "unix": ("unix:{folder}/pacsync.sock", "unix:{folder}/pacsync.sock"),
}


@pytest.mark.parametrize("by", ["variable", "option"])
@pytest.mark.parametrize("kind", BOUND)
def test_healthcheck_follows_the_bound_address(kind: str, by: str, sqlite_url: str, tmp_path: Path) -> None:
    port = free_port()
    host, listens = (text.format(port=port, folder=tmp_path) for text in BOUND[kind])
    server = Elsewhere(sqlite_url, HTTP_PORT=port)
    asked = environment(sqlite_url, HTTP_PORT=port if by == "variable" else free_port())
    if by == "variable":
        asked["HTTP_HOST"] = host
        server.environment |= asked
    else:
        plain = host.strip("[]")
        bound = host if kind == "unix" else f"[{plain}]:{port}" if ":" in plain else f"{plain}:{port}"
        server.environment |= asked | {"GUNICORN_CMD_ARGS": f"--bind {bound}"}
    server.environment["LISTENS"] = listens
    try:
        server.start(timeout=60)
        done = health(asked, ASK)
        assert done.returncode == 0, done.stdout + done.stderr + server.log()
        assert server.stop() == 0
    finally:
        server.kill()
        server.log_path.unlink()


@pytest.mark.parametrize("file", ["Dockerfile", "docker-compose.yml"])
def test_healthcheck_of_the_image_and_of_compose_names_no_address(file: str) -> None:
    """So that it is the one that follows."""
    text = (ROOT / file).read_text()
    assert re.findall(r"manage.py healthcheck --url( \S+)? \|\| exit 1", text) != []
    assert not re.search(r"manage.py healthcheck --url \"?http", text)


def test_workers_threads_and_address_by_options_share_budget_slots_and_name(
    postgres_url: str, shared_postgres: Postgres
) -> None:
    port = free_port()
    server = Server(postgres_url, HTTP_PORT=port, DB_POOL_MAX_SIZE=6, INSTANCE_HEARTBEAT_INTERVAL=0.5)
    server.environment |= {"HTTP_PORT": str(free_port()), "GUNICORN_CMD_ARGS": f"--workers 3 --bind 127.0.0.1:{port}"}
    try:
        server.start(timeout=60)
        assert len(psutil.Process(server.pid).children()) == 3

        def rows() -> list[tuple[object, ...]]:
            with shared_postgres.connect(postgres_url.rsplit("/", 1)[1]) as connection:
                return connection.execute("SELECT name, workers, dbpool FROM lifecycle_instance").fetchall()

        def row() -> tuple[str, int, int]:
            found = rows()
            if not found:
                return ("", 0, 0)
            name, workers, dbpool = found[0]
            numbers = dbpool if isinstance(dbpool, dict) else json.loads(str(dbpool))
            return (str(name).rpartition(":")[2], int(str(workers)), int(numbers.get("max_size", 0)))

        until(lambda: row() == (str(port), 3, 6), 60)
        assert server.stop() == 0
    finally:
        server.kill()
        server.log_path.unlink()


def test_default_address_serves_both_families_and_knows_the_client_by_its_own(sqlite_url: str) -> None:
    port = free_port()
    server = Elsewhere(sqlite_url, HTTP_PORT=port, STRUCTURED_LOGGING="false", FORWARDED_ALLOW_IPS="127.0.0.1")
    server.environment |= {"HTTP_HOST": "", "LISTENS": f"http://[::]:{port}"}
    try:
        server.start(timeout=60)
        for host in ("127.0.0.1", "::1"):
            with contextlib.closing(http.client.HTTPConnection(host, port, timeout=20)) as connection:
                connection.request("GET", "/login", headers={"X-Forwarded-For": "192.0.2.7"})
                assert connection.getresponse().status == 200
        until(lambda: "]: 192.0.2.7 GET /login 200 " in server.log())  # 127.0.0.1 is a proxy that is trusted
        until(lambda: "]: ::1 GET /login 200 " in server.log())
        assert health(server.environment, ASK).returncode == 0
    finally:
        server.kill()
        server.log_path.unlink()


@pytest.mark.parametrize(
    ("trusted", "client"), [("127.0.0.1,::1", "-"), ("*", "10.0.0.7"), ("*,10.0.0.0/8", "203.0.113.9")]
)
def test_unix_socket_client_is_whom_the_proxy_names_if_every_peer_is_trusted(
    sqlite_url: str, tmp_path: Path, trusted: str, client: str
) -> None:
    path = tmp_path / "http.sock"
    server = Elsewhere(sqlite_url, STRUCTURED_LOGGING="false", FORWARDED_ALLOW_IPS=trusted)
    server.environment |= {"HTTP_HOST": f"unix:{path}", "LISTENS": f"unix:{path}", "GUNICORN_CMD_ARGS": "--umask 007"}
    try:
        server.start(timeout=60)
        assert path.stat().st_mode & 0o777 == 0o770
        with socket.socket(socket.AF_UNIX) as proxy:
            proxy.settimeout(60)
            proxy.connect(str(path))
            proxy.sendall(
                b"GET /login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                b"X-Forwarded-For: 192.0.2.1, 203.0.113.9, 10.0.0.7\r\n\r\n"
            )
            assert proxy.makefile("rb").read().startswith(b"HTTP/1.1 200 ")
        until(lambda: f"]: {client} GET /login 200 " in server.log(), otherwise=server.log)
    finally:
        server.kill()
        server.log_path.unlink()
