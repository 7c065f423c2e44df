"""How files are fetched from mirrors: limits, proxies, failing hosts; and the errors of a download.

It must not know which files, or open connections.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from ..http import proxies
from .addresses import Address
from .hosts import Hosts
from .retry_schedule import Patience

SHOWN = 5  # addresses in a message
# Whose failure a refusal is. GONE: the address has no such file (404, 410), or isn't asked; NETWORK: the host isn't
# reached; MIRROR: the host is reached, and fails.
GONE, NETWORK, MIRROR = "gone", "network", "mirror"


@dataclass(frozen=True)
class Limits:
    """Limits for one file, in seconds and bytes. `largest`: where no database of the machine has the package.

    The size that a server declares comes from another machine: it can make a download shorter, never longer.
    """

    silence: float = 10  # between two bytes, and to connect: pacman's own
    head: float = 30  # to the beginning of the answer, redirects included
    rate: float = 1024  # bytes a second, over any `window` seconds
    window: float = 20
    base: float = 300  # the whole time of a file: this, and its size at `pace`
    pace: float = 20_000
    longest: float = 6 * 3600  # the whole time, whatever is declared
    undeclared: float = 3600  # the whole time where the size is not known
    gathering: float = 24 * 3600  # all files of one gathering; those that came are in the cache for the next one
    largest: int = 4 << 30

    def total(self, size: Optional[int]) -> float:
        return min(self.longest, self.undeclared if size is None else self.base + size / self.pace)


@dataclass
class Network:
    """How files are fetched: limits, the choice of a proxy, hosts that don't answer, and XferCommand's function.

    `transfer` (address, path, most bytes, seconds, stop) fetches from an own mirror in pacman.conf's own way; it raises
    Refusal. `on_host` gets a host when a transfer from it begins (True) and ends (False); `on_wait` gets what the
    download waits for, empty at the end of the wait.
    """

    stop: threading.Event
    limits: Limits = field(default_factory=Limits)
    choose: proxies.Choose = proxies.of_environment
    hosts: Hosts = field(default_factory=Hosts)
    transfer: Optional[Callable[[Address, Path, int, float, threading.Event], None]] = None
    patience: Patience = field(default_factory=Patience)
    on_host: Callable[[str, bool], None] = lambda host, begins: None
    on_wait: Callable[[str], None] = lambda text: None


def why_not_now(hosts: Hosts, host: str) -> Optional[Refusal]:
    """Why this host isn't asked now; None if it may be."""
    alone = hosts.left_alone(host)
    if alone is not None:
        reason, seconds = alone
        text = f"{reason}; it asked to be left alone for {seconds:.0f} s more"
        return Refusal(text, passing=True, after=seconds, cause=reason)
    known = hosts.passed_over(host)
    if known is not None:
        return Refusal(f"passed over after errors of its host ({known})", kind=NETWORK, passing=True, cause=known)
    return None


class Stopped(Exception):
    """The download was asked to stop."""


class Refusal(Exception):
    """An address gives no file, or none that may be accepted; the text says why in our own words.

    `code` is set where the file came but was not accepted. `kind`: see above. `passing`: worth another try later;
    `after`: seconds that the mirror wants the agent to wait before that; `cause`: the earlier error of its host, where
    it wasn't asked for this file any more.
    """

    def __init__(
        self,
        reason: str,
        code: str = "",
        *,
        kind: str = MIRROR,
        passing: bool = False,
        after: float = 0,
        cause: str = "",
    ) -> None:
        super().__init__(reason)
        self.code = code
        self.kind = kind
        self.passing = passing
        self.after = after
        self.cause = cause


class NotThere(Exception):
    """None of the addresses gave the file: `refusals` by address, in the order in which they were asked.

    `at` is the moment, by the monotonic clock.
    """

    def __init__(self, refusals: Sequence[tuple[str, Refusal]]) -> None:
        texts = [f"{where}: {refusal}" for where, refusal in refusals[:SHOWN]]
        texts += [f"and {len(refusals) - SHOWN} more addresses"] if len(refusals) > SHOWN else []
        super().__init__("; ".join(texts) or "no address is known for it")
        self.lines = "\n".join(texts)
        self.refusals = tuple(refusals)
        self.at = time.monotonic()

    @property
    def failing(self) -> tuple[tuple[str, Refusal], ...]:
        """The refusals other than GONE; empty when no address can have the file."""
        return tuple((where, refusal) for where, refusal in self.refusals if refusal.kind != GONE)


class Broken(Exception):
    """A transfer broke off; the text says why. `final`: it passed a limit, so the same address isn't tried again.

    `kind` and `passing` are those of the Refusal that it may become. `slow`: the host fell silent, so another address
    is better than another try; `hard`: no more tries of this host in this run.
    """

    def __init__(
        self,
        reason: str,
        *,
        final: bool = False,
        kind: str = NETWORK,
        passing: bool = True,
        slow: bool = False,
        hard: bool = False,
    ) -> None:
        super().__init__(reason)
        self.final = final
        self.kind = kind
        self.passing = passing
        self.slow = slow
        self.hard = hard

    def as_refusal(self) -> Refusal:
        return Refusal(str(self), kind=self.kind, passing=self.passing)
