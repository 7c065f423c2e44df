"""Whether an address leads to this machine itself, however it is written. It must not know who names it or connect.

Services that listen only for this machine trust everybody who reaches them, so no other machine may make the agent,
which is root, ask them. The same goes for link-local services (169.254.169.254 has a cloud's passwords).
"""

from __future__ import annotations

import ipaddress
import socket
import unicodedata
import urllib.parse
from collections.abc import Iterator
from typing import Optional, Union

Ip = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
NOWHERE = ipaddress.ip_network("0.0.0.0/8")  # the system takes 0.0.0.0 for itself
# IPv6 networks whose last 32 bits are an IPv4 address: translated (RFC 6052), and compatible (RFC 4291).
EMBEDDING = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("::/96"))


class ThisMachine(OSError):
    """The address leads to this machine itself, and its source may not name such an address."""

    def __init__(self) -> None:
        super().__init__("it leads to this machine itself")


def leads_here(address: str) -> bool:
    """Whether this numeric address belongs to this machine, or to the link that it is on."""
    return any(_is_local(ip) or _is_own(ip) for ip in _meant(ipaddress.ip_address(address.partition("%")[0])))


def named_here(host: str) -> bool:
    """The same for the host of a URL, by its text alone: an address in any notation, or `localhost`.

    For names that a proxy resolves.
    """
    host = unicodedata.normalize("NFKC", urllib.parse.unquote(host)).replace("\u3002", ".")  # as IDNA reads dots
    host = host.strip("[] ").rstrip(".").lower()
    address = _numeric(host)
    if address is None:
        return host == "localhost" or host.endswith(".localhost")
    return leads_here(address)


def _numeric(host: str) -> Optional[str]:
    try:
        return str(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))  # 2130706433, 0x7f.1 and the like
    except (OSError, ValueError):
        return None


def _meant(ip: Ip) -> Iterator[Ip]:
    """The address, and the IPv4 addresses inside it."""
    yield ip
    if isinstance(ip, ipaddress.IPv6Address):
        yield from (inner for inner in (ip.ipv4_mapped, ip.sixtofour) if inner is not None)
        if any(ip in network for network in EMBEDDING):
            yield ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)


def _is_local(ip: Ip) -> bool:
    return ip.is_loopback or ip.is_unspecified or ip.is_link_local or (ip.version == 4 and ip in NOWHERE)


def _is_own(ip: Ip) -> bool:
    """Whether an interface of this machine has it: then it is also the source address. Nothing is sent."""
    family = socket.AF_INET6 if ip.version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(ip), 9))
            return ipaddress.ip_address(str(probe.getsockname()[0]).partition("%")[0]) == ip
    except (OSError, ValueError):
        return False
