"""Which proxy an address is asked through, as pacman's curl reads the environment. It must not open connections.

Source: curl(1), "PROXY PROTOCOL PREFIXES" and ENVIRONMENT; lib/url.c and lib/noproxy.c of curl 7.86 and newer.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Optional, Union

SCHEMES = ("http", "https", "socks5", "socks5h")


@dataclass(frozen=True)
class Proxy:
    """`host` includes the port; `scheme` is one of SCHEMES. `user` is empty if there is no login."""

    scheme: str
    host: str
    user: str = ""
    password: str = ""

    @property
    def is_socks(self) -> bool:
        return self.scheme.startswith("socks")

    @property
    def url(self) -> str:
        """The URL without user and password, for messages."""
        return f"{self.scheme}://{self.host}"

    @property
    def authorization(self) -> str:
        """The value of Proxy-Authorization; empty without a login."""
        words = f"{self.user}:{self.password}"
        return "Basic " + base64.b64encode(words.encode()).decode("ascii") if self.user else ""


Choose = Callable[[str], Optional[Proxy]]


def parse(text: str) -> Proxy:
    """The proxy of `[scheme://][user:password@]host[:port]`; port 1080 where none is given, as in curl.

    Raises ValueError when it isn't a proxy, or of an unsupported kind (SOCKS 4).
    """
    parts = urllib.parse.urlsplit(text if "://" in text else f"http://{text}")
    if parts.scheme not in SCHEMES:
        raise ValueError(f"a proxy of the kind {parts.scheme} is not supported")
    if not parts.hostname:
        raise ValueError("the proxy has no host name")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = parts.port or (443 if parts.scheme == "https" else 1080)
    user, password = (urllib.parse.unquote(word or "") for word in (parts.username, parts.password))
    return Proxy(parts.scheme, f"{host}:{port}", user, password)


def of_environment(url: str, environment: Optional[Mapping[str, str]] = None) -> Optional[Proxy]:
    """The proxy that curl would use for `url`; None: it asks directly. Raises ValueError as `parse` does.

    `http_proxy` counts in lower case only: a CGI server sets HTTP_PROXY from a request's header.
    """
    known = os.environ if environment is None else environment
    parts = urllib.parse.urlsplit(url)
    names = ["http_proxy"] if parts.scheme == "http" else [f"{parts.scheme}_proxy", f"{parts.scheme.upper()}_PROXY"]
    text = next((known[name] for name in (*names, "all_proxy", "ALL_PROXY") if known.get(name)), "")
    spared = next((known[name] for name in ("no_proxy", "NO_PROXY") if known.get(name)), "")
    if not text or is_spared(parts.hostname or "", spared):
        return None
    return parse(text)


def is_spared(host: str, spared: str) -> bool:
    """Whether `no_proxy` names the host: `*`, a domain with all below it, an address, or a network with its bits."""
    if spared.strip() == "*":
        return True
    host = host.strip("[]").rstrip(".").lower()
    address = _address(host)
    for word in re.split(r"[,\s]+", spared.lower()):
        if not word:
            continue
        if address:
            if _within(address, word.strip("[]")):
                return True
        else:
            domain = word.rstrip(".").lstrip(".")
            if domain and (host == domain or host.endswith(f".{domain}")):
                return True
    return False


def _address(text: str) -> Union[ipaddress.IPv4Address, ipaddress.IPv6Address, None]:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


def _within(address: Union[ipaddress.IPv4Address, ipaddress.IPv6Address], word: str) -> bool:
    """Whether the address equals it or is in its network. As in curl, no bits or 0 bits mean the address itself."""
    text, _, bits = word.replace("]/", "/").partition("/")
    known, found = _address(text), re.match(r"\s*([+-]?\d+)", bits)
    length = int(found[1]) if found else 0
    if known is None or known.version != address.version or not 0 <= length <= known.max_prefixlen:
        return False
    return address in ipaddress.ip_network(f"{known}/{length}", strict=False) if length else address == known


class Handler(urllib.request.BaseHandler):
    """Sends each request of an opener, redirected ones too, through the proxy that `choose` names for its URL."""

    handler_order = 100  # before the handlers that make the connection

    def __init__(self, choose: Choose) -> None:
        self.choose = choose

    def http_request(self, request: urllib.request.Request) -> urllib.request.Request:
        try:
            proxy = self.choose(request.full_url)
        except ValueError as error:
            raise urllib.error.URLError(str(error)) from None
        request.proxied = proxy is not None  # type: ignore[attr-defined]  # for bounded_http.py
        if proxy and proxy.is_socks:
            request.socks = proxy  # type: ignore[attr-defined]  # the connection is made through it (bounded_http.py)
            return request
        if proxy and request.type == "https" and proxy.scheme == "https":
            raise urllib.error.URLError("a proxy that is itself reached by https is not supported for https addresses")
        if proxy:
            if proxy.authorization:
                request.add_unredirected_header("Proxy-Authorization", proxy.authorization)
            request.set_proxy(proxy.host, proxy.scheme)
        return request

    https_request = http_request
