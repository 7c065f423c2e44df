"""The API behind a real gunicorn: bodies on the wire, ids in the log, a database that goes away."""

import gzip
import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from apps.fleet.alpm.canonical import digest_of
from tests.api.support import state_text
from tests.api.test_uploads import bomb
from tests.support import migrated
from tests.support.postgres import Postgres
from tests.support.server import Server, manage, running_server
from tests.support.wait import until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    url = migrated.sqlite(tmp_path_factory.mktemp("api") / "test.sqlite3")
    with running_server(url, STRUCTURED_LOGGING="true") as server:
        code = manage(url, "create_enrolment_code").stdout.strip()
        answer = call(server, "POST", "/enroll", json.dumps({"code": code, "name": "m1", "arch": "x86_64"}))
        assert answer[0] == 201
        server.token = answer[1]["token"]  # type: ignore[attr-defined]
        yield server


def call(server: Server, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    sent = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    if hasattr(server, "token"):
        sent.setdefault("Authorization", f"Bearer {server.token}")
    try:
        connection.request(method, f"/api/v1{path}", body, sent)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def refused(answer: tuple[int, Any]) -> tuple[int, str]:
    return answer[0], answer[1]["code"]


def test_bomb_refused_and_the_worker_stays_small(server: Server) -> None:
    (worker,) = psutil.Process(server.pid).children()
    data = bomb(1 << 30)
    before = worker.memory_info().rss
    for _ in range(3):
        path = f"/states/{'0' * 64}"
        assert refused(call(server, "PUT", path, data, Content_Encoding="gzip")) == (413, "too_large")
    assert worker.memory_info().rss - before < 60 << 20


def test_body_far_over_the_limit_gets_its_answer_not_a_reset(server: Server) -> None:
    assert refused(call(server, "POST", "/checkin", b"x" * (20 << 20))) == (413, "too_large")
    assert refused(call(server, "PUT", f"/states/{'0' * 64}", b"x" * (20 << 20))) == (413, "too_large")
    unknown = {"Authorization": "Bearer pse_unknown"}
    assert refused(call(server, "PUT", f"/states/{'0' * 64}", b"x" * (3 << 20), **unknown)) == (401, "token_invalid")


def test_body_in_chunks_411(server: Server) -> None:
    answer = call(server, "POST", "/checkin", iter([b"{}"]), Transfer_Encoding="chunked")
    assert refused(answer) == (411, "length_required")


def test_body_that_ends_early_leaves_nothing(server: Server) -> None:
    text = state_text("linux 1-1")
    data = gzip.compress(text)
    head = (
        f"PUT /api/v1/states/{digest_of(text)} HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\n"
        f"Authorization: Bearer {server.token}\r\nContent-Length: {len(data)}\r\n\r\n"  # type: ignore[attr-defined]
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(head.encode() + data[:-4])
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1 << 16)
    report = json.dumps({"seq": 1, "state": digest_of(text)})
    assert call(server, "POST", "/checkin", report)[1]["want"] == [digest_of(text)]


def test_request_id_is_in_the_log_of_its_request(server: Server) -> None:
    call(server, "GET", "/none", X_Request_ID="find-me-42")
    until(lambda: "find-me-42" in server.log())
    lines = [json.loads(line) for line in server.log().splitlines() if "find-me-42" in line]
    assert lines and all(line["request_id"] == "find-me-42" for line in lines if "request_id" in line)
    assert any("/api/v1/none" in line["message"] for line in lines)


def test_made_up_host_is_one_line_in_the_log_without_a_traceback(server: Server) -> None:
    assert call(server, "GET", "/pools", Host="made!up.example")[0] == 400
    until(lambda: "made!up.example" in server.log())
    lines = [json.loads(line) for line in server.log().splitlines() if "made!up.example" in line]
    assert len(lines) == 1 and "HTTP_HOST" in lines[0]["message"] and "exc_info" not in lines[0]


def test_database_that_goes_away_503_and_back(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.create_database("gone")
    token = manage(url, "create_api_token", "ann").stdout.strip()
    with running_server(url) as server:
        server.token = token  # type: ignore[attr-defined]
        assert call(server, "GET", "/pools")[0] == 200
        postgres.stop()
        for path in ("/pools", "/me", "/operations", "/diff?from=endpoint:a&to=endpoint:b"):
            status, body = call(server, "GET", path)
            assert status == 503 and body["code"] in ("database_unavailable", "busy")
        assert call(server, "GET", "/openapi.json")[0] == 200
        postgres.start()
        assert call(server, "GET", "/pools")[0] == 200
