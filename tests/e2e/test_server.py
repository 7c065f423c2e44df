"""The server that other tests start: it answers, and leaves nothing behind."""

from pathlib import Path

import psutil

from tests.support.server import migrate, running_server


def test_running_server_stopped_no_process_left(tmp_path: Path) -> None:
    database_url = f"sqlite:///{tmp_path}/test.sqlite3"
    migrate(database_url)
    with running_server(database_url, WEB_CONCURRENCY=2) as server:
        assert server.answers()
        family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
        assert len(family) == 3
        assert server.stop() == 0
    assert not [process for process in family if process.is_running()]
    assert not server.log_path.exists()
