"""Requests that are repeated, tokens that stay at home, downloads that go on where they broke off."""

import gzip
import http.server
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.agent.pacsync_agent import download
from apps.agent.pacsync_agent.api import ApiError, Client, normalized
from apps.agent.pacsync_agent.errors import Local, Unavailable
from apps.agent.pacsync_agent.heartbeat import Heartbeat
from apps.agent.pacsync_agent.package_file import Wanted
from tests.support.pacman import Fleet, Package


class Web:
    """A web server whose answers the test gives: (status, headers, body) by turns for each path; `seen` requests."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, dict[str, str], bytes]]] = {}
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                web.seen.append((self.path, dict(self.headers), body))
                turns = web.answers.get(self.path, [(404, {}, b"")])
                status, headers, content = turns.pop(0) if len(turns) > 1 else turns[0]
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(content))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)
                self.close_connection = True

            do_POST = do_PUT = do_GET

            def log_message(self, *arguments: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web()
    yield server
    server.server.shutdown()
    server.server.server_close()


def test_client_busy_server_is_asked_again_until_it_answers(web: Web) -> None:
    busy = (503, {"Retry-After": "0"}, b"")
    web.answers["/api/v1/me"] = [busy, (502, {}, b""), (200, {}, b'{"name": "m1"}')]
    assert Client(web.url, "pse_x").get("/me") == {"name": "m1"}
    assert len(web.seen) == 3
    assert web.seen[0][1]["Authorization"] == "Bearer pse_x"


def test_client_no_answer_is_unavailable_after_its_patience() -> None:
    began = time.monotonic()
    with pytest.raises(Unavailable) as error:
        Client("http://127.0.0.1:9", patience=0.5).get("/me")
    assert "127.0.0.1:9" in error.value.message
    assert time.monotonic() - began < 20


def test_client_problem_is_its_code_and_is_not_repeated(web: Web) -> None:
    web.answers["/api/v1/me"] = [(409, {}, b'{"code": "no_target", "detail": "No target."}')]
    with pytest.raises(ApiError) as error:
        Client(web.url).get("/me")
    assert (error.value.status, error.value.code, str(error.value)) == (409, "no_target", "No target.")
    assert len(web.seen) == 1


def test_client_upload_is_compressed_and_the_same_each_time(web: Web) -> None:
    web.answers["/api/v1/states/x"] = [(201, {}, b"{}")]
    client = Client(web.url)
    client.put_text("/states/x", b"a 1-1 any explicit\n")
    client.put_text("/states/x", b"a 1-1 any explicit\n")
    [(_, headers, body), (_, _, again)] = web.seen
    assert headers["Content-Encoding"] == "gzip" and body == again
    assert gzip.decompress(body) == b"a 1-1 any explicit\n"


def test_client_stopped_while_it_waits_gives_up_at_once() -> None:
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    began = time.monotonic()
    with pytest.raises(Unavailable):
        Client("http://127.0.0.1:9", patience=60, stop=stop).get("/me")
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("text", ["", "host:8080", "ftp://host", "http://", "http://user@host", "http://host/?x=1"])
def test_server_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Local):
        normalized(text)


def test_heartbeat_refusal_is_a_lost_lease_and_a_pause_is_not(web: Web) -> None:
    path = "/api/v1/operations/o/heartbeat"
    lost = (409, {}, b'{"code": "lease_lost", "detail": "Gone."}')
    web.answers[path] = [(200, {}, b"{}"), (503, {}, b""), (200, {}, b"{}"), lost]
    with Heartbeat(Client(web.url), "o", "token", lease_seconds=1.5) as heartbeat:
        heartbeat.check()
        assert heartbeat.lost.wait(30)
        assert len(web.seen) >= 4


@pytest.fixture
def package(tmp_path: Path) -> Package:
    content = {f"usr/share/tool/{number}": bytes([number % 251]) * 997 for number in range(400)}
    return Fleet(tmp_path).package("tool", "1:2-1", files=content)


def wanted(package: Package, *urls: str, sha256: bool = True) -> Wanted:
    known = package.sha256 if sha256 else None
    return Wanted(package.name, package.version, package.arch, package.path.name, known, None, urls)


def fetch(wanted: Wanted, directory: Path) -> Path:
    counted: list[int] = []
    file = download.fetch(wanted, directory, stop=threading.Event(), on_bytes=counted.append)
    assert sum(counted) == file.path.stat().st_size
    return file.path


def test_download_broken_connection_is_resumed(web: Web, package: Package, tmp_path: Path) -> None:
    whole = package.path.read_bytes()
    half = len(whole) // 2
    broken = (200, {"Content-Length": str(len(whole))}, whole[:half])
    rest = (206, {"Content-Range": f"bytes {half}-{len(whole) - 1}/{len(whole)}"}, whole[half:])
    web.answers["/tool"] = [broken, rest]
    target = fetch(wanted(package, f"{web.url}/tool"), tmp_path)
    assert target.read_bytes() == whole
    assert [request[1].get("Range") for request in web.seen] == [None, f"bytes={half}-"]
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_download_of_an_earlier_agent_is_resumed(web: Web, package: Package, tmp_path: Path) -> None:
    whole = package.path.read_bytes()
    download.partial_path(tmp_path, package.path.name).write_bytes(whole[:100])
    web.answers["/tool"] = [(206, {}, whole[100:])]
    assert fetch(wanted(package, f"{web.url}/tool"), tmp_path).read_bytes() == whole


@pytest.mark.parametrize("status", [200, 416])
def test_download_partial_file_of_something_else_is_begun_anew(
    web: Web, package: Package, tmp_path: Path, status: int
) -> None:
    whole = package.path.read_bytes()
    download.partial_path(tmp_path, package.path.name).write_bytes(b"x" * (len(whole) + 5))
    web.answers["/tool"] = [(416, {}, b""), (200, {}, whole)] if status == 416 else [(200, {}, whole)]
    assert fetch(wanted(package, f"{web.url}/tool"), tmp_path).read_bytes() == whole


def test_download_wrong_content_is_refused_and_the_next_address_asked(
    web: Web, package: Package, tmp_path: Path
) -> None:
    web.answers["/wrong"] = [(200, {}, b"<html>")]
    web.answers["/tool"] = [(200, {}, package.path.read_bytes())]
    urls = [f"{web.url}/missing", f"{web.url}/wrong", "gopher://x/tool", f"{web.url}/tool"]
    assert fetch(wanted(package, *urls, sha256=False), tmp_path).read_bytes() == package.path.read_bytes()
    with pytest.raises(download.NotThere) as error:
        download.fetch(wanted(package, *urls[:3]), tmp_path, stop=threading.Event(), on_bytes=lambda count: None)
    assert "404" in str(error.value) and "gopher" in str(error.value)


def test_download_file_address_is_copied_and_resumed(package: Package, tmp_path: Path) -> None:
    whole = package.path.read_bytes()
    download.partial_path(tmp_path, package.path.name).write_bytes(whole[:100])
    target = fetch(wanted(package, package.path.as_uri()), tmp_path)
    assert target.read_bytes() == whole and target.stat().st_mode & 0o777 == 0o644


def test_download_redirect_from_https_to_http_is_not_followed() -> None:
    request = download.urllib.request.Request("https://mirror.invalid/tool")
    handler = download._NoDowngrade()
    with pytest.raises(OSError, match="redirects from https"):
        handler.redirect_request(request, None, 302, "Found", {}, "http://mirror.invalid/tool")


def test_download_stop_ends_it_and_keeps_what_came(web: Web, package: Package, tmp_path: Path) -> None:
    web.answers["/tool"] = [(200, {}, package.path.read_bytes())]
    stop = threading.Event()
    stop.set()
    with pytest.raises(download.Stopped):
        download.fetch(wanted(package, f"{web.url}/tool"), tmp_path, stop=stop, on_bytes=lambda count: None)
