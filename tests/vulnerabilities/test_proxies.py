"""The list through a proxy that the environment names, and not through it where `no_proxy` says so."""

from collections.abc import Iterator
from typing import Any

import pytest

from apps.vulnerabilities import fetching, source, tracker_list
from tests.support.hostile import DRIP, Hostile, Peer
from tests.support.postgres import free_port
from tests.vulnerabilities import private_ca
from tests.vulnerabilities.forward_proxy import ForwardProxy
from tests.vulnerabilities.lists import GOOD, OTHER
from tests.vulnerabilities.refusals import refused
from tests.vulnerabilities.tracker import Tracker, running_tracker


@pytest.fixture
def proxy() -> Iterator[ForwardProxy]:
    with ForwardProxy() as made:
        yield made


@pytest.fixture
def secure(
    db: None,
    no_network_variables: None,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
) -> Iterator[Tracker]:
    """A tracker with HTTPS, which is the source of the list, and whose CA is known."""
    ca = private_ca.made_in(tmp_path_factory.mktemp("ca"))
    monkeypatch.setenv("SSL_CERT_FILE", str(ca.file))
    with running_tracker(ca.server) as made:
        settings.SECURITY_TRACKER_URL = made.url
        made.serves(GOOD)
        yield made


def host(tracker: Tracker) -> str:
    return f"127.0.0.1:{tracker.server_address[1]}"


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY"])
def test_https_goes_through_a_tunnel_of_the_proxy(
    secure: Tracker, proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, proxy.url)
    assert fetching.fetch_now()
    assert proxy.paths == [host(secure)] and tracker_list.current().source == secure.url


@pytest.mark.needs("openssl")
def test_https_through_a_tunnel_still_checks_the_certificate(
    secure: Tracker, proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", proxy.url)
    monkeypatch.delenv("SSL_CERT_FILE")
    assert "its certificate is not valid" in str(refused("list_unreachable"))
    assert proxy.paths == [host(secure)] and secure.asked == []


@pytest.mark.needs("openssl")
def test_login_of_the_proxy_is_sent_to_the_proxy_alone(secure: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    with ForwardProxy("me:s3cret") as proxy:
        monkeypatch.setenv("https_proxy", f"http://me:wrong@{proxy.host}")
        text = str(refused("list_unreachable"))
        assert "407 Proxy Authentication Required" in text and "wrong" not in text
        monkeypatch.setenv("https_proxy", f"http://me:s3cret@{proxy.host}")
        assert fetching.fetch_now()
    assert "proxy-authorization" not in secure.asked[0][1]


def test_http_is_asked_of_the_proxy(server: Tracker, proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", proxy.url)
    assert fetching.fetch_now()
    assert proxy.paths == [server.url] and server.asked[0][0] == "/all.json"


def test_redirect_goes_through_the_proxy_too(
    server: Tracker, proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", proxy.url)
    with running_tracker() as other:
        other.serves(OTHER)
        server.serves(b"", 302, Location=other.url)
        assert fetching.fetch_now()
    assert proxy.paths == [server.url, other.url]


@pytest.mark.parametrize("named", ["127.0.0.1", "other.example, 127.0.0.1", "*"])
def test_no_proxy_names_the_host_the_proxy_is_not_asked(
    server: Tracker, proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.setenv("no_proxy", named)
    assert fetching.fetch_now()
    assert proxy.paths == [] and len(server.asked) == 1


def test_no_proxy_names_another_host_the_proxy_is_asked(
    server: Tracker, proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.setenv("no_proxy", "other.example")
    assert fetching.fetch_now()
    assert proxy.paths == [server.url]


@pytest.mark.needs("openssl")
def test_no_proxy_names_the_host_https_goes_there_itself(
    secure: Tracker, proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", proxy.url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert fetching.fetch_now()
    assert proxy.paths == [] and len(secure.asked) == 1


def test_proxy_that_nobody_listens_as_is_refused_with_the_cause(good: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://me:s3cret@127.0.0.1:{free_port()}")
    text = str(refused("list_unreachable"))
    assert "Connection refused (through the proxy 127.0.0.1:" in text and "s3cret" not in text


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "value",
    [
        "socks5://me:s3cret@127.0.0.1:1",
        "https://me:s3cret@127.0.0.1:1",
        "http://me:s3cret@127.0.0.1:http",
        "http:/me:s3cret@127.0.0.1:1",
        "http://",
    ],
)
def test_proxy_that_is_none_is_refused_without_its_secret(
    good: Tracker, monkeypatch: pytest.MonkeyPatch, settings: Any, scheme: str, value: str
) -> None:
    settings.SECURITY_TRACKER_URL = good.url.replace("http:", f"{scheme}:")
    monkeypatch.setenv(f"{scheme}_proxy", value)
    text = str(refused("list_unreachable"))
    assert f"the proxy in {scheme}_proxy is not like http://" in text and "s3cret" not in text


def test_proxy_that_drips_is_cut_off(good: Tracker, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """Each byte restarts the limit of a read, so only the limit of the whole ends it."""
    monkeypatch.setattr(source, "SECONDS", 1.0)

    def answer(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 200 Connected\r\nX: ")
        peer.endless(b"x", pause=DRIP)

    with Hostile(answer) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        settings.SECURITY_TRACKER_URL = "https://tracker.example/all.json"
        refused("list_timed_out")
