"""What requests cost a real gunicorn, and what its workers count together."""

import gzip
import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest

from apps.fleet.alpm.canonical import digest_of
from tests.api.support import state_text
from tests.support import migrated
from tests.support.server import Server, manage, running_server

FORM = "application/x-www-form-urlencoded"
MIB = (1 << 20) - 64
ENROL, LOGIN = "/api/v1/enroll", "/login"
KEYS = b"{" + b",".join(b'"%x":1' % number for number in range(90_000)) + b"}"
PART = b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\nx\r\n'
LARGE = {
    "unknown keys": (ENROL, KEYS, "application/json"),
    "levels": (ENROL, b"[" * (MIB // 2) + b"]" * (MIB // 2), "application/json"),
    "levels again and again": (ENROL, b"[" + (b"[" * 900 + b"]" * 900 + b",") * 580 + b"1]", "application/json"),
    "objects": (ENROL, b'{"code":[' + b"{}," * 340_000 + b"1]}", "application/json"),
    "floats": (ENROL, b'{"code":[' + b"1e5," * 260_000 + b"1]}", "application/json"),
    "digits": (ENROL, b'{"code":' + b"9" * MIB + b"}", "application/json"),
    "text": (ENROL, b'{"code":"' + b"\\u00e9" * 170_000 + b'"}', "application/json"),
    "keys of a route with a token": ("/api/v1/pools", KEYS, "application/json"),
    "form fields": (LOGIN, b"&".join(b"f%d=%s" % (n, b"%41" * 340) for n in range(1000)), FORM),
    "escapes": (LOGIN, b"username=" + b"%41" * 340_000, FORM),
    "multipart": (LOGIN, PART * 18_000, "multipart/form-data; boundary=b"),
    "multipart at the admin": ("/admin/login/", PART * 18_000, "multipart/form-data; boundary=b"),
}


def ask(server: Server, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any, bytes]:
    """(status, headers, body) over a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def cost(server: Server, times: int, path: str, body: bytes, kind: str) -> float:
    """Seconds of processor time that one such request takes of the instance."""
    processes = [psutil.Process(server.pid), *psutil.Process(server.pid).children()]
    before = sum(sum(process.cpu_times()[:2]) for process in processes)
    for _ in range(times):
        ask(server, "POST", path, body, Content_Type=kind)
    return (sum(sum(process.cpu_times()[:2]) for process in processes) - before) / times


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(migrated.sqlite(tmp_path_factory.mktemp("limits") / "database.sqlite3")) as running:
        yield running


@pytest.mark.parametrize(("path", "body", "kind"), LARGE.values(), ids=LARGE)
def test_large_body_of_nobody_costs_less_than_ten_small_ones(path: str, body: bytes, kind: str, server: Server) -> None:
    small = {ENROL: json.dumps({"code": "psc_x", "name": "m", "arch": "x86_64"}).encode()}.get(path, b"username=a")
    cost(server, 5, path, small, kind)
    one, many = cost(server, 40, path, small, kind), cost(server, 20, path, body, kind)
    assert many < 10 * max(one, 0.002), f"{many * 1000:.1f} ms for a large one, {one * 1000:.1f} ms for a small one"


def test_addresses_and_workers_are_counted_by_the_instance(sqlite_url: str) -> None:
    """30 a minute from each address, whichever of three workers answers; the proxy's word is taken for the address."""
    with running_server(sqlite_url, WEB_CONCURRENCY=3, RATE_LIMIT_ANONYMOUS=30) as server:
        with ThreadPoolExecutor(6) as threads:
            statuses = list(threads.map(lambda _: ask(server, "GET", "/login")[0], range(90)))
        assert 30 <= statuses.count(200) < 60 and statuses.count(200) + statuses.count(429) == 90
        answers = (ask(server, "GET", "/api/v1/pools") for _ in range(60))  # one comes back every two seconds
        _, headers, body = next(answer for answer in answers if answer[0] == 429)
        assert json.loads(body)["code"] == "rate_limited" and int(headers["Retry-After"]) >= 1
        assert ask(server, "GET", "/login", X_Forwarded_For="203.0.113.9")[0] == 200
        assert {ask(server, "GET", path)[0] for path in ("/health/live", "/health/ready") * 50} == {200}


def test_addresses_without_the_limit_are_all_answered(sqlite_url: str) -> None:
    with running_server(sqlite_url, WEB_CONCURRENCY=3, RATE_LIMIT_ANONYMOUS=0) as server:
        assert {ask(server, "GET", "/login")[0] for _ in range(90)} == {200}


def test_address_that_a_stranger_makes_up_doesn_t_help(sqlite_url: str) -> None:
    with running_server(sqlite_url, RATE_LIMIT_LOGIN=3, FORWARDED_ALLOW_IPS="192.0.2.1") as server:
        made_up = [ask(server, "POST", "/login", b"", X_Forwarded_For=f"203.0.113.{n}")[0] for n in range(8)]
        assert made_up[:3] == [403] * 3 and made_up.count(429) >= 4  # without a CSRF token


def test_quota_holds_for_uploads_at_the_same_time(postgres_url: str) -> None:
    with running_server(postgres_url, WEB_CONCURRENCY=2, UPLOAD_QUOTA_PER_HOUR=5) as server:
        code = manage(postgres_url, "create_enrolment_code").stdout.strip()
        enrolment = json.dumps({"code": code, "name": "m1", "arch": "x86_64"}).encode()
        token = json.loads(ask(server, "POST", ENROL, enrolment, Content_Type="application/json")[2])["token"]

        def upload(number: int) -> int:
            text = state_text(*(f"p{n} {number}-1" for n in range(300)))
            headers = {"Authorization": f"Bearer {token}", "Content_Encoding": "gzip", "Content_Type": "text/plain"}
            return ask(server, "PUT", f"/api/v1/states/{digest_of(text)}", gzip.compress(text), **headers)[0]

        with ThreadPoolExecutor(12) as threads:
            statuses = list(threads.map(upload, range(12)))
        assert sorted(statuses) == [201] * 5 + [429] * 7
        report = json.dumps({"seq": 1, "state": "0" * 64, "repositories": []}).encode()
        headers = {"Authorization": f"Bearer {token}", "Content_Type": "application/json"}
        assert ask(server, "POST", "/api/v1/checkin", report, **headers)[0] == 200
