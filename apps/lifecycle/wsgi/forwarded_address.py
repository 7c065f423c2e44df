"""The client's address behind proxies: a WSGI layer that puts it into REMOTE_ADDR, as trusted proxies report it.

It must not know what the address is used for (the access log, HEALTH_DETAIL_NETWORKS).
"""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

Address = IPv4Address | IPv6Address
ANYBODY = "*"
WITH_PORT = re.compile(r"(\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<ipv4>[0-9.]+)(?=:))(:[0-9]{1,5})?")


class Proxies:
    """`trusted` is FORWARDED_ALLOW_IPS: addresses and networks separated by commas, or `*` for every direct peer.

    Each proxy appends the address of its own peer to X-Forwarded-For. So the header is read from its end, past further
    trusted proxies, up to the first address that isn't one of theirs; what is before that may be made up. With `*` only
    the direct peer is trusted, so its entry is the last. A client on the network is never this machine, so a loopback
    address in the header is made up, unless it is a trusted proxy's. Raises ValueError if `trusted` isn't such a list.
    """

    def __init__(self, trusted: str) -> None:
        words = [word.strip() for word in trusted.split(",") if word.strip()]
        self._anybody = ANYBODY in words
        self._networks = [ip_network(word, strict=False) for word in words if word != ANYBODY]

    def take_over(self, environ: "WSGIEnvironment") -> None:
        """Replace the last proxy's address in REMOTE_ADDR with the client's."""
        forwarded = environ.get("HTTP_X_FORWARDED_FOR")
        if forwarded and (self._anybody or self._is_trusted(parsed(environ.get("REMOTE_ADDR", "")))):
            found = self._client(forwarded)
            if found is not None:
                environ["REMOTE_ADDR"] = str(found)

    def _client(self, forwarded: str) -> Address | None:
        client = None
        for entry in reversed(forwarded.split(",")):
            address = parsed(without_port(entry))
            if address is None:
                break
            trusted = self._is_trusted(address)
            if trusted or not address.is_loopback:
                client = address
            if not trusted:
                break
        return client

    def _is_trusted(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)


class ForwardedAddress:
    """The layer; `trusted` as for Proxies."""

    def __init__(self, application: "WSGIApplication", *, trusted: str) -> None:
        self.application = application
        self._proxies = Proxies(trusted)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        self._proxies.take_over(environ)
        return self.application(environ, start_response)


def without_port(entry: str) -> str:
    """The address in an entry as some proxies write it: `203.0.113.9:52144`, `[2001:db8::1]:443`, `[2001:db8::1]`.

    Any other entry is returned as it is.
    """
    found = WITH_PORT.fullmatch(entry.strip())
    return found["ipv6"] or found["ipv4"] if found else entry


def parsed(text: str) -> Address | None:
    """The address in `text`, with an IPv4 address in IPv6 form as IPv4; None if `text` isn't an address."""
    try:
        address = ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
