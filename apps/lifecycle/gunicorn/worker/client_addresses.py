"""How many connections each client address has. It must not know what happens to one too many.

An IPv6 network of /64 counts as one address: that is what one machine gets. Trusted proxies aren't counted, since each
stands for many clients; they have limits of their own (deploy/haproxy/haproxy.cfg).

Reason: gunicorn limits the connections of a worker, but not those of one address, so one client can take them all.
Remove with slow_clients.py, which is the only module that asks.
"""

from collections import Counter
from functools import partial
from ipaddress import ip_address, ip_network
from typing import Any

from apps.lifecycle.gunicorn.worker.connection import Connection


def counted_address(address: str) -> str:
    """The address, or the /64 network of an IPv6 one; an IPv4 address written as IPv6 counts as IPv4."""
    found = ip_address(address.partition("%")[0])
    found = getattr(found, "ipv4_mapped", None) or found
    return str(found) if found.version == 4 else str(ip_network((int(found), 64), strict=False))


class ClientAddresses:
    """The number of connections by address. `limit` is how many one address may have; 0 for no limit.

    Trusted proxies are in gunicorn's configuration (`forwarded_allow_ips`, `forwarded_allow_networks`).
    """

    def __init__(self, limit: int, cfg: Any) -> None:
        self.limit = limit
        self._everybody = "*" in cfg.forwarded_allow_ips
        self._trusted = cfg.forwarded_allow_networks()
        self._counts: Counter[str] = Counter()

    def add(self, conn: Connection) -> bool:
        """Count the connection until it closes; False if its address now has more than `limit`."""
        client = conn.client
        if not self.limit or self._everybody or not isinstance(client, tuple):
            return True
        address = self._counted(client[0])
        if address is None:
            return True
        conn.counted_address = address
        conn.on_close = partial(self._remove, address)
        self._counts[address] += 1
        return self._counts[address] <= self.limit

    def _counted(self, address: str) -> str | None:
        if any(ip_address(address.partition("%")[0]) in network for network in self._trusted):
            return None
        return counted_address(address)

    def _remove(self, address: str) -> None:
        self._counts[address] -= 1
        if not self._counts[address]:
            del self._counts[address]
