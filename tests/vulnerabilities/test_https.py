"""The list over https from a mirror whose certificate is of a private CA: taken if the CA is known, else refused."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.vulnerabilities import bounded_http, fetching, source, tracker_list
from tests.support.hostile import DRIP
from tests.vulnerabilities import private_ca
from tests.vulnerabilities.lists import GOOD, OTHER
from tests.vulnerabilities.private_ca import PrivateCa
from tests.vulnerabilities.refusals import refused
from tests.vulnerabilities.tracker import Tracker, running_tracker

pytestmark = pytest.mark.needs("openssl")


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> PrivateCa:
    return private_ca.made_in(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def mirror(db: None, no_network_variables: None, ca: PrivateCa, settings: Any) -> Iterator[Tracker]:
    """A server with a certificate of the private CA, which is the source of the list."""
    with running_tracker(ca.server) as made:
        settings.SECURITY_TRACKER_URL = made.url
        made.serves(GOOD)
        yield made


@pytest.fixture
def known(mirror: Tracker, ca: PrivateCa, monkeypatch: pytest.MonkeyPatch) -> Tracker:
    """The mirror; its CA is in the environment, and its list is here."""
    monkeypatch.setenv("SSL_CERT_FILE", str(ca.file))
    assert fetching.fetch_now() and tracker_list.current().source == mirror.url
    return mirror


def test_private_ca_in_the_environment_the_list_is_fetched(known: Tracker) -> None:
    known.serves(OTHER)
    assert fetching.fetch_now()


def test_private_ca_in_a_directory_of_the_environment_the_list_is_fetched(
    mirror: Tracker, ca: PrivateCa, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{private_ca.hash_of(ca.file)}.0").symlink_to(ca.file)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert fetching.fetch_now()


def test_private_ca_that_nobody_knows_is_refused_with_the_cause(mirror: Tracker) -> None:
    text = str(refused("list_unreachable"))
    assert text == f"{mirror.url} can't be read: its certificate is not valid: unable to get local issuer certificate."
    assert mirror.asked == []


def test_certificate_of_another_host_is_refused_with_the_cause(
    known: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    other = private_ca.made_in(tmp_path, names="subjectAltName=DNS:other.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(other.file))
    with running_tracker(other.server) as server:
        settings.SECURITY_TRACKER_URL = server.url
        text = str(refused("list_unreachable"))
        assert "IP address mismatch, certificate is not valid for '127.0.0.1'" in text and server.asked == []


def test_ca_that_is_renewed_is_known_without_a_restart(
    known: Tracker, ca: PrivateCa, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(private_ca.made_in(tmp_path).file.read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    refused("list_unreachable")
    trusted.write_bytes(ca.file.read_bytes())
    fetching.fetch_now()


def test_server_without_tls_is_refused_with_the_cause(known: Tracker, settings: Any) -> None:
    with running_tracker() as plain:
        settings.SECURITY_TRACKER_URL = plain.url.replace("http:", "https:")
        assert "doesn't speak TLS" in str(refused("list_unreachable"))


def test_handshake_that_drips_is_cut_off(known: Tracker, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "SECONDS", 1.0)
    monkeypatch.setattr(bounded_http, "SILENCE", 120.0)  # which Python counts for a handshake as a whole
    cut = threading.Event()

    def drip() -> None:
        connected, _ = listener.accept()
        with connected:
            connected.recv(65536)
            connected.sendall(b"\x16\x03\x03\x40\x00")  # 16 KiB of the handshake follow
            try:
                for _ in range(400):
                    time.sleep(DRIP)
                    connected.sendall(b"\0")
            except OSError:
                cut.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip)
        thread.start()
        settings.SECURITY_TRACKER_URL = f"https://127.0.0.1:{listener.getsockname()[1]}/all.json"
        refused("list_timed_out")
        thread.join()
    assert cut.is_set()
