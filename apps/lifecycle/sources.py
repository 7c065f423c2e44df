"""How many connections each client address has. It must not know what happens to one too many.

An IPv6 network of /64 counts as one address: it is what one machine gets. Trusted proxies aren't counted, since each
stands for many clients; they have limits of their own (deploy/haproxy/haproxy.cfg).
"""

from collections import Counter
from functools import partial
from ipaddress import ip_address, ip_network
from typing import Any

from apps.lifecycle.connection import Connection


def source_of(address: str) -> str:
    """The address, or the /64 network of an IPv6 one; an IPv4 address in IPv6 clothes is IPv4."""
    found = ip_address(address.partition("%")[0])
    found = getattr(found, "ipv4_mapped", None) or found
    return str(found) if found.version == 4 else str(ip_network((int(found), 64), strict=False))


class Sources:
    """Connections by source; `limit` 0: no limit. `trusted` are addresses and networks as gunicorn's configuration has
    them (`forwarded_allow_ips`, `forwarded_allow_networks`)."""

    def __init__(self, limit: int, cfg: Any) -> None:
        self.limit = limit
        self._everybody = "*" in cfg.forwarded_allow_ips
        self._trusted = cfg.forwarded_allow_networks()
        self._counts: Counter[str] = Counter()

    def add(self, conn: Connection) -> bool:
        """Count the connection until it closes; False when its source has more than its share now."""
        client = conn.client
        if not self.limit or self._everybody or not isinstance(client, tuple):
            return True
        source = self._source(client[0])
        if source is None:
            return True
        conn.source = source
        conn.on_close = partial(self._remove, source)
        self._counts[source] += 1
        return self._counts[source] <= self.limit

    def _source(self, address: str) -> str | None:
        if any(ip_address(address.partition("%")[0]) in network for network in self._trusted):
            return None
        return source_of(address)

    def _remove(self, source: str) -> None:
        self._counts[source] -= 1
        if not self._counts[source]:
            del self._counts[source]
