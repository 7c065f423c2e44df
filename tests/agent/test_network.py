"""Requests that are repeated, tokens that stay at home, downloads that go on where they broke off."""

import errno
import gzip
import http.server
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.agent.pacsync_agent.errors import Local, Unavailable
from apps.agent.pacsync_agent.mirrors import download, mirror_http
from apps.agent.pacsync_agent.mirrors.addresses import Address
from apps.agent.pacsync_agent.mirrors.network import Network, NotThere, Refusal, Stopped
from apps.agent.pacsync_agent.mirrors.retry_schedule import Patience
from apps.agent.pacsync_agent.operation.heartbeat import Heartbeat
from apps.agent.pacsync_agent.packages.package_file import sha256_of
from apps.agent.pacsync_agent.server.client import ApiError, Client, normalized
from apps.agent.pacsync_agent.system import files
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


def fetch(package: Package, part: Path, *urls: str, stop: threading.Event | None = None) -> Path:
    """Download from these addresses, and take what has the checksum."""

    def accept(path: Path, source: Address) -> Path:
        if sha256_of(path) != package.sha256:
            raise Refusal("it is another file")
        return path

    counted: list[int] = []
    found = download.fetch(
        [Address(url, own=True) for url in urls],
        part,
        size=package.path.stat().st_size,
        network=Network(stop or threading.Event(), patience=Patience(0)),
        on_bytes=counted.append,
        accept=accept,
    )
    assert sum(counted) == found.stat().st_size
    return found


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "tool.part"


def test_download_broken_connection_is_resumed(web: Web, package: Package, part: Path) -> None:
    whole = package.path.read_bytes()
    half = len(whole) // 2
    broken = (200, {"Content-Length": str(len(whole))}, whole[:half])
    rest = (206, {"Content-Range": f"bytes {half}-{len(whole) - 1}/{len(whole)}"}, whole[half:])
    web.answers["/tool"] = [broken, rest]
    assert fetch(package, part, f"{web.url}/tool").read_bytes() == whole
    assert [request[1].get("Range") for request in web.seen] == [None, f"bytes={half}-"]
    assert part.stat().st_mode & 0o777 == 0o600


def test_download_of_an_earlier_run_is_resumed(web: Web, package: Package, part: Path) -> None:
    whole = package.path.read_bytes()
    part.write_bytes(whole[:100])
    web.answers["/tool"] = [(206, {}, whole[100:])]
    assert fetch(package, part, f"{web.url}/tool").read_bytes() == whole


@pytest.mark.parametrize("status", [200, 416])
def test_download_partial_file_of_something_else_is_begun_again(
    web: Web, package: Package, part: Path, status: int
) -> None:
    whole = package.path.read_bytes()
    part.write_bytes(b"x" * (len(whole) + 5))
    web.answers["/tool"] = [(416, {}, b""), (200, {}, whole)] if status == 416 else [(200, {}, whole)]
    assert fetch(package, part, f"{web.url}/tool").read_bytes() == whole


def test_download_wrong_content_is_refused_and_the_next_address_asked(web: Web, package: Package, part: Path) -> None:
    web.answers["/wrong"] = [(200, {}, b"<html>")]
    web.answers["/tool"] = [(200, {}, package.path.read_bytes())]
    urls = [f"{web.url}/missing", f"{web.url}/wrong", f"{web.url}/tool"]
    assert fetch(package, part, *urls).read_bytes() == package.path.read_bytes()
    with pytest.raises(NotThere) as error:
        fetch(package, part, *urls[:2])
    assert [str(refusal) for _, refusal in error.value.refusals] == ["not there", "it is another file"]
    assert not part.exists()


def test_download_file_of_an_own_mirror_is_copied(package: Package, part: Path) -> None:
    part.write_bytes(package.path.read_bytes()[:100])
    assert fetch(package, part, package.path.as_uri()).read_bytes() == package.path.read_bytes()


@pytest.mark.parametrize(
    ("url", "target", "word"),
    [
        ("https://mirror.invalid/tool", "http://mirror.invalid/tool", "https to http"),
        ("http://mirror.invalid/tool", "http://127\u30020\u30020\u30021/tool", "makes no sense"),
    ],
)
def test_redirect_that_no_mirror_may_make(url: str, target: str, word: str) -> None:
    assert mirror_http.redirected(url, "https://cdn.invalid/x?y=z") == "https://cdn.invalid/x?y=z"
    with pytest.raises(Refusal, match=word):
        mirror_http.redirected(url, target)


def test_download_stop_ends_it_and_keeps_what_came(web: Web, package: Package, part: Path) -> None:
    web.answers["/tool"] = [(200, {}, package.path.read_bytes())]
    stop = threading.Event()
    stop.set()
    part.write_bytes(package.path.read_bytes()[:100])
    web.answers["/tool"] = [(206, {}, package.path.read_bytes()[100:])]
    with pytest.raises(Stopped):
        fetch(package, part, f"{web.url}/tool", stop=stop)
    assert part.exists()


@pytest.mark.parametrize("across", [False, True])
def test_accepted_file_is_placed_whole_for_all_to_read(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, across: bool
) -> None:
    part, target = tmp_path / "private.part", tmp_path / "cache" / "tool"
    target.parent.mkdir()
    part.write_bytes(package.path.read_bytes())
    part.chmod(0o600)
    replace = os.replace

    def elsewhere(source: str, destination: str) -> None:
        if across and Path(source) == part:
            raise OSError(errno.EXDEV, "another file system")
        replace(source, destination)

    monkeypatch.setattr(files.os, "replace", elsewhere)
    files.place(part, target)
    assert target.read_bytes() == package.path.read_bytes() and target.stat().st_mode & 0o777 == 0o644
    assert not part.exists() and list(target.parent.iterdir()) == [target]
