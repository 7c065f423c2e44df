"""Proxies are read as pacman's curl reads them; what curl itself does stands beside the table where it is installed."""

import contextlib
import http.server
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.agent.pacsync_agent.errors import Unavailable
from apps.agent.pacsync_agent.http import proxies
from apps.agent.pacsync_agent.mirrors import addresses, download
from apps.agent.pacsync_agent.mirrors.network import Network, NotThere
from apps.agent.pacsync_agent.mirrors.retry_schedule import Patience
from apps.agent.pacsync_agent.server.client import Client
from tests.support.hostile import Hostile
from tests.support.postgres import free_port
from tests.support.wait import until

PROXY = "http://proxy.invalid:3128"
HTTP, HTTPS = "http://mirror.example.org/x", "https://mirror.example.org/x"

CASES = [
    ({"http_proxy": PROXY}, HTTP, True),
    ({"HTTP_PROXY": PROXY}, HTTP, False),
    ({"http_proxy": PROXY}, HTTPS, False),
    ({"https_proxy": PROXY}, HTTPS, True),
    ({"HTTPS_PROXY": PROXY}, HTTPS, True),
    ({"https_proxy": PROXY}, HTTP, False),
    ({"all_proxy": PROXY}, HTTP, True),
    ({"ALL_PROXY": PROXY}, HTTPS, True),
    ({"ALL_PROXY": PROXY, "http_proxy": ""}, HTTP, True),
    ({"http_proxy": PROXY, "no_proxy": "example.org"}, HTTP, False),
    ({"http_proxy": PROXY, "no_proxy": ".example.org"}, HTTP, False),
    ({"http_proxy": PROXY, "no_proxy": "ample.org"}, HTTP, True),
    ({"http_proxy": PROXY, "no_proxy": "MIRROR.Example.ORG"}, HTTP, False),
    ({"http_proxy": PROXY, "NO_PROXY": "other, mirror.example.org"}, HTTP, False),
    ({"http_proxy": PROXY, "no_proxy": "*"}, HTTP, False),
    ({"http_proxy": PROXY, "no_proxy": "*.example.org"}, HTTP, True),
    ({"http_proxy": PROXY, "no_proxy": "127.0.0.0/8"}, "http://127.1.2.3/x", False),
    ({"http_proxy": PROXY, "no_proxy": "10.0.0.0/8,192.168.0.0/16"}, "http://192.168.7.7:8080/x", False),
    ({"http_proxy": PROXY, "no_proxy": "10.0.0.0/8"}, "http://11.0.0.1/x", True),
    ({"http_proxy": PROXY, "no_proxy": "10.0.0.1"}, "http://10.0.0.1/x", False),
    ({"http_proxy": PROXY, "no_proxy": "fe80::/10"}, "http://[fe80::1]/x", False),
    ({"http_proxy": PROXY, "no_proxy": "[::1]"}, "http://[::1]:80/x", False),
    ({"http_proxy": PROXY, "no_proxy": "10.0.0.0/99"}, "http://10.0.0.1/x", True),
    ({"http_proxy": PROXY, "no_proxy": "0.0.0.0/0"}, "http://10.0.0.1/x", True),
    ({"http_proxy": PROXY, "no_proxy": "10.0.0.2/0"}, "http://10.0.0.1/x", True),
    ({"http_proxy": PROXY, "no_proxy": "10.0.0.1/0"}, "http://10.0.0.1/x", False),
    ({"http_proxy": PROXY, "no_proxy": "::/0"}, "http://[fe80::1]/x", True),
    ({"http_proxy": PROXY, "no_proxy": "::/0"}, "http://10.0.0.1/x", True),
    ({"http_proxy": PROXY, "no_proxy": "10.0.0.1/"}, "http://10.0.0.1/x", False),
    ({"http_proxy": PROXY, "no_proxy": "10.0.0.0/255.0.0.0"}, "http://10.0.0.1/x", True),
]


@pytest.mark.parametrize(("environment", "url", "expected"), CASES)
def test_proxy_of_the_environment(environment: dict[str, str], url: str, expected: bool) -> None:
    found = proxies.of_environment(url, environment)
    assert (found is not None) is expected


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("proxy:8080", proxies.Proxy("http", "proxy:8080")),
        ("http://proxy", proxies.Proxy("http", "proxy:1080")),
        ("https://proxy", proxies.Proxy("https", "proxy:443")),
        ("http://me:a%40b@[::1]:1", proxies.Proxy("http", "[::1]:1", "me", "a@b")),
        ("socks5h://proxy", proxies.Proxy("socks5h", "proxy:1080")),
    ],
)
def test_proxy_is_parsed_as_curl_does(text: str, proxy: proxies.Proxy) -> None:
    assert proxies.parse(text) == proxy


@pytest.mark.parametrize("text", ["socks4://proxy:1", "socks://proxy:1", "http://", "http://proxy:99999"])
def test_proxy_that_cannot_be_used_is_an_error_not_a_direct_connection(text: str) -> None:
    with pytest.raises(ValueError):
        proxies.parse(text)


class Recorder:
    """An HTTP proxy or server that remembers what it was asked, and answers `tool`."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str]]] = []
        recorder = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                recorder.seen.append((self.path, dict(self.headers)))
                self.send_response(200)
                self.send_header("Content-Length", "4")
                self.end_headers()
                self.wfile.write(b"tool")

            def log_message(self, *arguments: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    recorder = Recorder()
    yield recorder
    recorder.server.shutdown()
    recorder.server.server_close()


def curl(environment: dict[str, str], url: str) -> None:
    subprocess.run(["curl", "-s", "-m", "5", url], env={"PATH": os.environ["PATH"]} | environment, check=False)


@pytest.mark.needs("curl")
@pytest.mark.parametrize(
    "environment",
    [
        {"http_proxy": "{}"},
        {"HTTP_PROXY": "{}"},
        {"ALL_PROXY": "{}"},
        {"all_proxy": "{}"},
        {"http_proxy": "{}", "no_proxy": "127.0.0.0/8"},
        {"http_proxy": "{}", "no_proxy": "127.0.0.9"},
        {"http_proxy": "{}", "no_proxy": "10.0.0.0/8 127.0.0.9"},
        {"http_proxy": "{}", "NO_PROXY": "*"},
        *(
            {"http_proxy": "{}", "no_proxy": f"127.0.0.{rest}"}
            for rest in ("9/0", "8/0", "0/0", "9/", "9/00", "0/1", "9/8x", "9/-1", "9/+8", "9/33", "0/255.0.0.0", "9.")
        ),
        {"http_proxy": "{}", "no_proxy": "0.0.0.0/0"},
    ],
)
def test_download_asks_the_proxy_exactly_where_curl_does(
    environment: dict[str, str], proxy: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {name: value.format(f"http://{proxy.host}") for name, value in environment.items()}
    url = "http://127.0.0.9:9/tool"  # nobody is there: only the proxy can answer
    curl(known, url)
    expected, proxy.seen = [path for path, _ in proxy.seen], []
    for name, value in known.items():
        monkeypatch.setenv(name, value)
    try:
        fetched(url, tmp_path / "part")
    except NotThere:
        assert not expected
    assert [path for path, _ in proxy.seen] == expected


@contextlib.contextmanager
def socks_proxy(*options: str) -> Iterator[int]:
    """The port of a real SOCKS 5 proxy; `-u USER -P PASSWORD`: which it wants."""
    port = free_port()
    process = subprocess.Popen(["microsocks", "-i", "127.0.0.1", "-p", str(port), *options])
    try:
        until(lambda: listens(port))
        yield port
    finally:
        process.kill()
        process.wait()


def listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def fetched(url: str, place: Path) -> bytes:
    """What a download of 4 bytes gives. Raises NotThere."""
    return download.fetch(
        [addresses.Address(url, own=True)],
        place,
        size=4,
        network=Network(threading.Event(), patience=Patience(0)),
        on_bytes=lambda count: None,
        accept=lambda part, source: part.read_bytes(),
    )


@pytest.mark.needs("microsocks")
@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_download_through_a_socks_proxy(
    scheme: str, host: str, proxy: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://{host}:{proxy.host.partition(':')[2]}/tool"
    with socks_proxy("-u", "me", "-P", "a@b") as port:
        monkeypatch.setenv("ALL_PROXY", f"{scheme}://me:a%40b@127.0.0.1:{port}")
        assert fetched(url, tmp_path / "part") == b"tool"
        assert [path for path, _ in proxy.seen] == ["/tool"]  # as of a server, not of a proxy
        monkeypatch.setenv("no_proxy", "localhost,127.0.0.0/8")
        monkeypatch.setenv("ALL_PROXY", f"{scheme}://127.0.0.1:9")
        assert fetched(url, tmp_path / "part") == b"tool"


@pytest.mark.needs("microsocks")
@pytest.mark.parametrize(
    ("login", "target", "says"),
    [
        ("", "127.0.0.1:{}", "the proxy wants a user and a password"),
        ("me:wrong@", "127.0.0.1:{}", "the proxy doesn't accept its user and password"),
        ("me:right@", "127.0.0.1:9", "it refuses connections"),
        ("me:right@", "nobody.invalid:80", "the proxy (failed|can't reach it)"),
    ],
)
def test_socks_proxy_that_makes_no_connection_says_why(
    login: str, target: str, says: str, proxy: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socks_proxy("-u", "me", "-P", "right") as port:
        monkeypatch.setenv("all_proxy", f"socks5h://{login}127.0.0.1:{port}")
        with pytest.raises(NotThere, match=says):
            fetched(f"http://{target.format(proxy.host.partition(':')[2])}/tool", tmp_path / "part")
    assert proxy.seen == []


def test_socks_proxy_that_is_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer() -> None:
        client, _ = listener.accept()
        with client:
            client.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
            client.recv(64)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer, daemon=True).start()
        monkeypatch.setenv("all_proxy", f"socks5h://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(NotThere, match=r"the proxy doesn't speak SOCKS 5"):
            fetched("http://mirror.invalid/tool", tmp_path / "part")


def test_token_goes_to_no_proxy_that_the_agents_configuration_does_not_name(
    proxy: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://{proxy.host}")
    with pytest.raises(Unavailable):
        Client("http://127.0.0.1:9", "pse_secret", patience=0.2).get("/other")
    assert proxy.seen == []
    named = Client("http://127.0.0.1:9", "pse_secret", patience=0.2, proxy=proxies.parse(f"me:pw@{proxy.host}"))
    with pytest.raises(Exception, match="not a JSON object"):
        named.get("/other")
    [(path, headers)] = proxy.seen
    assert path == "http://127.0.0.1:9/api/v1/other" and headers["Authorization"] == "Bearer pse_secret"
    assert headers["Proxy-Authorization"].startswith("Basic ")


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
def test_proxy_of_the_agent_that_does_not_answer_is_named_instead_of_the_server(scheme: str) -> None:
    named = proxies.parse(f"{scheme}://me:secret@127.0.0.1:9")
    with pytest.raises(Unavailable) as error:
        Client("http://pacsync.invalid", patience=0.2, proxy=named).get("/other")
    assert error.value.message == f"The proxy {scheme}://127.0.0.1:9 doesn't answer: it refuses connections."
    assert "`proxy` in the agent's configuration" in error.value.hint


def test_server_behind_a_proxy_that_answers_is_named_with_it() -> None:
    with Hostile(lambda peer: peer.answer(status="503 Service Unavailable")) as proxy:
        named = proxies.parse(proxy.url)
        with pytest.raises(Unavailable) as error:
            Client("http://pacsync.invalid", patience=0.2, proxy=named).get("/other")
    through = f"The server http://pacsync.invalid doesn't answer through the proxy {named.url}: "
    assert error.value.message == f"{through}it answers 503 Service Unavailable."
