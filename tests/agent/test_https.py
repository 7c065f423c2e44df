"""HTTPS with a real certificate: through a proxy's tunnel, cut when it drips, refused when nobody vouches for it."""

import contextlib
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.agent.pacsync_agent.http import bounded_http, proxies
from apps.agent.pacsync_agent.mirrors import download
from apps.agent.pacsync_agent.mirrors.addresses import Address
from apps.agent.pacsync_agent.mirrors.network import Limits, Network, NotThere
from apps.agent.pacsync_agent.mirrors.retry_schedule import Patience
from tests.support.hostile import DRIP, Behaviour, Gone, Hostile, Peer

pytestmark = pytest.mark.needs("openssl")


class Secure(Hostile):
    """The same server, with TLS."""

    def __init__(self, behaviour: Behaviour, context: ssl.SSLContext) -> None:
        super().__init__(behaviour)
        self.context = context
        self.url = f"https://{self.host}"

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, Gone):
            super()._serve(self.context.wrap_socket(connection, server_side=True))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{path}", "-out", f"{path}.crt"]
    subprocess.run(command, check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


@pytest.fixture
def context(certificate: Path) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificate)
    return made


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The client knows the certificate."""
    known = ssl.create_default_context(cafile=str(certificate))
    monkeypatch.setattr(bounded_http, "tls", lambda: known)
    yield


def fetch(url: str, tmp_path: Path, proxy: proxies.Proxy | None = None) -> bytes:
    network = Network(
        threading.Event(),
        patience=Patience(0),
        limits=Limits(silence=1, head=2, window=1, base=5),
        choose=lambda address: proxy,
    )
    return download.fetch(
        [Address(url, own=True)],
        tmp_path / "part",
        size=4,
        network=network,
        on_bytes=lambda count: None,
        accept=lambda part, source: part.read_bytes(),
    )


def tunnel(to: Hostile) -> Behaviour:
    """A proxy that connects to that server, whatever it is asked for."""

    def answer(peer: Peer) -> None:
        host, _, port = to.host.partition(":")
        with socket.create_connection((host, int(port))) as there:
            peer.send(b"HTTP/1.1 200 Connected\r\n\r\n")
            threading.Thread(target=copy, args=(there, peer.connection), daemon=True).start()
            copy(peer.connection, there)

    return answer


def copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while block := source.recv(65536):
            target.sendall(block)
        target.shutdown(socket.SHUT_WR)


def test_https_is_fetched_directly_and_through_a_tunnel(context: ssl.SSLContext, trusted: None, tmp_path: Path) -> None:
    with Secure(lambda peer: peer.answer(b"tool"), context) as server:
        assert fetch(f"{server.url}/tool", tmp_path) == b"tool"
        with Hostile(tunnel(server)) as proxy:
            known = proxies.parse(f"http://me:pw@{proxy.host}")
            assert fetch(f"{server.url}/tool", tmp_path, known) == b"tool"
            assert proxy.paths == [server.host]
            assert proxy.requests[0]["proxy-authorization"].startswith("Basic ")
    assert all("proxy-authorization" not in request for request in server.requests)


def test_https_with_a_certificate_that_nobody_knows_is_refused(context: ssl.SSLContext, tmp_path: Path) -> None:
    with Secure(lambda peer: peer.answer(b"tool"), context) as server:
        with pytest.raises(NotThere, match="its certificate is not valid"):
            fetch(f"{server.url}/tool", tmp_path)
        assert server.paths == []


def test_https_proxy_for_https_is_refused_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(NotThere, match="itself reached by https is not supported"):
        fetch("https://127.0.0.1:9/tool", tmp_path, proxies.parse("https://127.0.0.1:9"))


CASES: dict[str, tuple[bool, Behaviour, str]] = {
    "handshake that never comes": (False, lambda peer: peer.silence(), "no answer|doesn't speak TLS"),
    "body that never comes": (
        True,
        lambda peer: (peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"), peer.silence())[0],
        "no answer in time|slower than",
    ),
    "head that drips": (
        True,
        lambda peer: (peer.send(b"HTTP/1.1 200 OK\r\n"), peer.endless(b"X: y\r\n", pause=DRIP))[0],
        "no answer within",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_https_that_holds_the_agent_is_cut(case: str, context: ssl.SSLContext, trusted: None, tmp_path: Path) -> None:
    secure, behaviour, word = CASES[case]
    server = Secure(behaviour, context) if secure else Hostile(behaviour)
    began = time.monotonic()
    with server, pytest.raises(NotThere) as error:
        fetch(f"https://{server.host}/tool", tmp_path)
    assert time.monotonic() - began < 15
    assert any(one in str(error.value) for one in word.split("|")), str(error.value)


def test_tunnel_that_drips_is_cut(trusted: None, tmp_path: Path) -> None:
    def answer(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 200 Connected\r\n")
        peer.endless(b"X: y\r\n", pause=DRIP)

    began = time.monotonic()
    with Hostile(answer) as proxy, pytest.raises(NotThere, match="no answer within"):
        fetch("https://127.0.0.1:9/tool", tmp_path, proxies.parse(proxy.host))
    assert time.monotonic() - began < 15
