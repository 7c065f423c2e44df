"""Fetches one file from its addresses: the first acceptable one counts, and failing mirrors are asked again.

It must not know which packages are wanted, or decide whether a file may be installed, or know the server: no token
ever comes here. A download stays in its private directory until the caller has accepted it.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Optional, TypeVar

from . import retry_schedule
from .addresses import Address
from .network import MIRROR, Broken, Network, NotThere, Refusal, Stopped, why_not_now
from .transfer import ByteCounter, size_of, transfer

TRIES = 10
Result = TypeVar("Result")


def fetch(
    sources: Sequence[Address],
    part: Path,
    *,
    size: Optional[int],
    network: Network,
    on_bytes: Callable[[int], None],
    accept: Callable[[Path, Address], Result],
) -> Result:
    """What `accept` makes of the file in `part`, from the first address that gives an acceptable one.

    Failing addresses are asked again as long as the network's patience lasts. `size` is the declared one in bytes,
    None if unknown. `accept` raises Refusal. `on_bytes` gets the growth (negative: begun again). Raises NotThere
    (`part` is removed), Stopped (`part` stays, to be resumed), OSError of this machine's disk.
    """
    counted = ByteCounter(on_bytes)
    deadline = time.monotonic() + network.limits.total(size)
    for attempt in itertools.count():
        try:
            found = _from_any(sources, part, size, deadline, network, counted, accept)
        except NotThere as error:
            if not _wait(error, sources, attempt, network):
                part.unlink(missing_ok=True)
                raise
            continue
        network.patience.worked()
        return found
    raise AssertionError


def _wait(error: NotThere, sources: Sequence[Address], attempt: int, network: Network) -> bool:
    """Wait until the failing addresses may be asked again; False when that is useless. Raises Stopped."""
    passing = [(where, refusal) for where, refusal in error.refusals if refusal.passing]
    if not passing:
        return False
    # The wish of a mirror that answers comes before a host that isn't reached.
    where, first = min(passing, key=lambda one: (one[1].kind != MIRROR, one[1].after))
    seconds = network.patience.pause(attempt, first.after)
    if not seconds:
        return False
    host = Address(where).host
    try:
        if not retry_schedule.wait(
            seconds, network.stop, lambda left: network.on_wait(f"{host} ({first}), {left:.0f} s")
        ):
            raise Stopped
    finally:
        network.on_wait("")
    failing = {where for where, _ in passing}
    for source in sources:
        if str(source) in failing:
            network.hosts.try_again(source.host)
    return True


def _from_any(
    sources: Sequence[Address],
    part: Path,
    size: Optional[int],
    deadline: float,
    network: Network,
    counted: ByteCounter,
    accept: Callable[[Path, Address], Result],
) -> Result:
    """Ask each address once. A broken-off download is resumed at the next address. Raises NotThere."""
    refusals = []
    for number, source in enumerate(sources, 1):
        remaining = deadline - time.monotonic()
        seconds = remaining if number == len(sources) else remaining / 2
        not_now = why_not_now(network.hosts, source.host)
        if not_now:
            refusals.append((str(source), not_now))
            continue
        others = any(why_not_now(network.hosts, other.host) is None for other in sources[number:])
        try:
            found = _from_one(source, part, size, max(1, seconds), network, counted, accept, others=others)
        except Refusal as refusal:
            refusals.append((str(source), refusal))
            counted.forget()
            if not refusal.passing:
                part.unlink(missing_ok=True)
        else:
            network.hosts.gave(source.host)
            return found
    raise NotThere(refusals)


def _from_one(
    source: Address,
    part: Path,
    size: Optional[int],
    seconds: float,
    network: Network,
    counted: ByteCounter,
    accept: Callable[[Path, Address], Result],
    *,
    others: bool,
) -> Result:
    """Fill `part` from one address, as long as each try gets more bytes. Raises Refusal, Stopped, OSError.

    `others`: there are more addresses, so a silent one is left at once.
    """
    deadline = time.monotonic() + seconds
    broken: Optional[Broken] = None
    for _ in range(TRIES):
        before = size_of(part)
        try:
            transfer(source, part, size, deadline - time.monotonic(), network, counted)
            return accept(part, source)
        except Refusal as refusal:
            if not before or refusal.passing:  # it began with nothing, so this address has another file
                raise
            part.unlink(missing_ok=True)
        except Broken as error:
            broken = error
            if error.slow or error.hard:
                network.hosts.failed(source.host, str(error), hard=error.hard)
            left = error.slow and (others or network.hosts.passed_over(source.host) is not None)
            if left or error.final or size_of(part) <= before or time.monotonic() > deadline:
                break
        counted.forget()
    if broken is None:
        raise Refusal("it has another file")
    if not (broken.slow or broken.hard):
        network.hosts.failed(source.host, str(broken))
    raise broken.as_refusal()


def fetch_small(source: Address, target: Path, *, most: int, network: Network) -> None:
    """Fetch a small file (a signature) of `most` bytes at the most. Raises Refusal (`target` is gone then), Stopped."""
    target.unlink(missing_ok=True)
    try:
        not_now = why_not_now(network.hosts, source.host)
        if not_now:
            raise not_now
        transfer(source, target, most, network.limits.head * 2, network, ByteCounter(lambda count: None))
    except Refusal:
        target.unlink(missing_ok=True)
        raise
    except Broken as error:
        target.unlink(missing_ok=True)
        network.hosts.failed(source.host, str(error), hard=error.hard)
        raise error.as_refusal() from None
