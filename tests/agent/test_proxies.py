"""Proxies are read as pacman's curl reads them; what curl itself does stands beside the table where it is installed."""

import http.server
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.agent.pacsync_agent import addresses, download, proxies
from apps.agent.pacsync_agent.api import Client
from apps.agent.pacsync_agent.errors import Unavailable
from apps.agent.pacsync_agent.network import Network, NotThere

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
        ("http://me:a%40b@[::1]:1", proxies.Proxy("http", "[::1]:1", "Basic bWU6YUBi")),
    ],
)
def test_proxy_is_parsed_as_curl_does(text: str, proxy: proxies.Proxy) -> None:
    assert proxies.parse(text) == proxy


@pytest.mark.parametrize("text", ["socks5://proxy:1", "http://", "http://proxy:99999"])
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
        download.fetch(
            [addresses.Address(url)],
            tmp_path / "part",
            size=4,
            network=Network(threading.Event()),
            on_bytes=lambda count: None,
            accept=lambda part, source: part.read_bytes(),
        )
    except NotThere:
        assert not expected
    assert [path for path, _ in proxy.seen] == expected


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
