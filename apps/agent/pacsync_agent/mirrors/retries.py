"""Which failed files are worth another try, because their host has given other files since.

It must not download.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from .addresses import Address
from .hosts import Hosts
from .network import NotThere

Item = TypeVar("Item")


def worth(results: Mapping[Item, object], hosts: Hosts) -> list[Item]:
    """The items that failed before the end of an outage. Their hosts may be asked again from now on."""
    found = []
    for item, result in results.items():
        if isinstance(result, NotThere):
            failing = {Address(where).host for where, refusal in result.refusals if refusal.passing}
            back = {host for host in failing if hosts.gave_since(host, result.at)}
            for host in back:
                hosts.try_again(host)
            found += [item] if back else []
    return found
