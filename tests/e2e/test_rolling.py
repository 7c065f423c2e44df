"""A rolling restart of two instances behind a real HAProxy, under load, counted at the clients."""

import http.client
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support.haproxy import running_haproxy
from tests.support.load import Load, get
from tests.support.playground import Playground
from tests.support.postgres import free_port
from tests.support.wait import until


def start(url: str, folder: Path, port: int, drain: float) -> Playground:
    server = Playground(url, folder, HTTP_PORT=port, SHUTDOWN_DRAIN_DELAY=drain, SHUTDOWN_TIMEOUT=drain + 6)
    server.start()
    until(lambda: get(port, "/health/ready")[0] == 200)
    return server


def up(port: int) -> bool:
    try:
        return get(port, "/query", timeout=5)[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def restart_both_under_load(url: str, folder: Path, drain: float) -> Counter[object]:
    """What the clients saw while each instance was stopped and started once."""
    ports = [free_port(), free_port()]
    servers = [start(url, folder, port, drain) for port in ports]
    try:
        with running_haproxy(ports) as front:
            until(lambda: all(up(front) for _ in range(4)))
            time.sleep(1)  # both are in
            with Load(front, "/query", clients=12, pause=0.02) as load:
                time.sleep(0.5)
                for index in range(2):
                    assert servers[index].stop() == 0, servers[index].log()
                    servers[index].log_path.unlink()
                    servers[index] = start(url, folder, ports[index], drain)
                    time.sleep(1.5)  # HAProxy has it back
            return load.seen
    finally:
        for server in servers:
            server.kill()
            server.log_path.unlink(missing_ok=True)


@pytest.mark.needs("haproxy")
def test_rolling_restart_with_drain_loses_no_request(postgres_url: str, tmp_path: Path) -> None:
    seen = restart_both_under_load(postgres_url, tmp_path, drain=3)
    assert set(seen) == {200}, seen
    assert seen[200] > 300


@pytest.mark.needs("haproxy")
def test_rolling_restart_without_drain_loses_requests(postgres_url: str, tmp_path: Path) -> None:
    """The negative twin: these clients do see a loss."""
    seen = restart_both_under_load(postgres_url, tmp_path, drain=0)
    assert set(seen) > {200}, seen
