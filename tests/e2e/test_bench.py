"""The peers of `make bench` that need no PostgreSQL start and answer."""

from pathlib import Path

import pytest

from tests.bench.servers import Bare, running_peer
from tests.bench.throughput import wait_for_answer
from tests.support.migrated import sqlite

SETTINGS = {"WEB_CONCURRENCY": 1, "ENVIRONMENT": "production", "LOG_LEVEL": "ERROR"}


def test_bare_function_under_our_configuration_answers(tmp_path: Path) -> None:
    with Bare(sqlite(tmp_path / "database.sqlite3"), **SETTINGS).started() as server:
        wait_for_answer(server.url)


@pytest.mark.parametrize("name", ["bare", "view"])
def test_peer_answers(name: str, tmp_path: Path) -> None:
    with running_peer(sqlite(tmp_path / "database.sqlite3"), name) as peer:
        wait_for_answer(f"{peer.url}/")
