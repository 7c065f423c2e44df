"""The client's address behind proxies: what is believed, of whom, and what can't be made up."""

from typing import Any

import pytest

from apps.lifecycle.wsgi.forwarded_address import ForwardedAddress


def seen(peer: str, forwarded: str | None, *, trusted: str = "10.0.0.0/8,127.0.0.1") -> str:
    """The address that the application sees."""
    environ: dict[str, Any] = {"REMOTE_ADDR": peer}
    if forwarded is not None:
        environ["HTTP_X_FORWARDED_FOR"] = forwarded
    ForwardedAddress(lambda environ, start: [], trusted=trusted)(environ, lambda *arguments: lambda data: None)
    return str(environ["REMOTE_ADDR"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("10.0.0.2", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.2", "2001:db8::1", "2001:db8::1"),
        ("::ffff:10.0.0.2", "203.0.113.9", "203.0.113.9"),
        # As some proxies write it: with a port, or an IPv6 address in brackets.
        ("10.0.0.2", "203.0.113.9:52144", "203.0.113.9"),
        ("10.0.0.2", "[2001:db8::1]:443", "2001:db8::1"),
        ("10.0.0.2", "[2001:db8::1]", "2001:db8::1"),
        ("10.0.0.2", "6.6.6.6:1, 203.0.113.9:52144, 10.0.0.3:80", "203.0.113.9"),
        # What the client sent itself comes first: the proxy appends.
        ("10.0.0.2", "6.6.6.6, 203.0.113.9", "203.0.113.9"),
        # Two proxies of ours.
        ("10.0.0.2", "6.6.6.6, 203.0.113.9, 10.0.0.3", "203.0.113.9"),
        # A client inside our own network, straight at the proxy.
        ("10.0.0.2", "10.0.0.7", "10.0.0.7"),
    ],
)
def test_client_of_a_trusted_proxy_is_seen(peer: str, forwarded: str, expected: str) -> None:
    assert seen(peer, forwarded) == expected


@pytest.mark.parametrize(
    "forwarded",
    [
        None,
        "",
        "unknown",
        "203.0.113.9, nonsense",
        "203.0.113.9:",
        "203.0.113.9:port",
        "[203.0.113",
        "[::1",
        "2001:db8::1]:443",
    ],
)
def test_header_without_an_address_changes_nothing(forwarded: str | None) -> None:
    assert seen("10.0.0.2", forwarded) == "10.0.0.2"


@pytest.mark.parametrize("peer", ["203.0.113.9", "", "nonsense"])
def test_peer_that_is_not_trusted_is_not_believed(peer: str) -> None:
    assert seen(peer, "10.0.0.1") == peer


def test_any_peer_is_believed_for_its_own_entry_only() -> None:
    assert seen("192.0.2.1", "10.0.0.1, 203.0.113.9", trusted="*") == "203.0.113.9"


@pytest.mark.parametrize("forwarded", ["127.0.0.1", "203.0.113.9, 127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_loopback_that_a_peer_names_is_not_believed(forwarded: str) -> None:
    assert seen("192.0.2.1", forwarded, trusted="*") == "192.0.2.1"


def test_loopback_of_a_trusted_proxy_is_passed() -> None:
    assert seen("127.0.0.1", "203.0.113.9, 127.0.0.1") == "203.0.113.9"
    assert seen("127.0.0.1", "127.0.0.1") == "127.0.0.1"


def test_trusted_that_is_no_address_is_refused() -> None:
    with pytest.raises(ValueError, match=r"proxy\.example"):
        ForwardedAddress(lambda environ, start: [], trusted="proxy.example")
