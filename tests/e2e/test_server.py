"""The server that other tests start: it answers, and leaves nothing behind."""

import json
import re

import psutil

from tests.e2e.conftest import Start
from tests.support.load import get
from tests.support.server import running_server
from tests.support.wait import until


def test_running_server_stopped_no_process_left(sqlite_url: str) -> None:
    with running_server(sqlite_url, WEB_CONCURRENCY=2) as server:
        assert server.answers()
        family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
        assert len(family) == 3
        assert server.stop() == 0
    assert not [process for process in family if process.is_running()]
    assert not server.log_path.exists()


def test_script_name_that_a_client_sends_changes_no_path(sqlite_url: str) -> None:
    """gunicorn takes it from a trusted proxy, and with * everybody is one: a path behind the front door's rules."""
    with running_server(sqlite_url, FORWARDED_ALLOW_IPS="*") as server:
        until(lambda: get(server.port, "/health/ready")[0] == 200)
        for name in ("SCRIPT_NAME", "PATH_INFO"):
            assert get(server.port, "/login", headers={name: "/nope"})[0] == 200
            assert get(server.port, "/health/login", headers={name: "/health"})[0] == 404


def test_access_line_as_text_has_the_clients_address(sqlite_url: str) -> None:
    with running_server(sqlite_url, STRUCTURED_LOGGING="false") as server:
        get(server.port, "/login", headers={"X-Forwarded-For": "192.0.2.7"})
        until(lambda: "]: 192.0.2.7 GET /login 200 " in server.log())


def test_every_line_of_the_log_is_json_with_a_time_as_rfc_3339_has_it(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url) as server:
        assert get(server.port, "/warn")[0] == 200
        until(lambda: "is deprecated" in server.log())
        assert server.stop() == 0
        lines = [json.loads(line) for line in server.log().splitlines()]
    assert {line["logger"] for line in lines} >= {"py.warnings", "gunicorn.error"}
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["timestamp"]) for line in lines)
