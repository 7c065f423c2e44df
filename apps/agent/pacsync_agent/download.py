"""Fetches one file into a private directory, within its limits: bytes, silence, rate, total time.

It must not know which packages are wanted, nor decide whether a file may be installed, nor know the server: no token
ever comes here. What comes from an address stays beneath the directory until the caller has accepted it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Optional, TypeVar

from . import bounded_http, local_file, mirror_http, patience, space
from .addresses import Address
from .guard import Guard
from .network import GONE, MIRROR, NETWORK, Broken, Network, NotThere, Refusal, Stopped, why_not_now

CHUNK = 1 << 18
BETWEEN = 16 << 20  # bytes between two looks at the room on the disk
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

    Addresses that fail at the moment are asked again, as long as the network's patience lasts. `size` is the declared
    one in bytes, None: unknown. `accept` raises Refusal. `on_bytes` gets the growth (negative: begun again). Raises
    NotThere (and `part` is gone), Stopped (and `part` stays, to go on from), OSError for trouble on this disk.
    """
    counted = _Counted(on_bytes)
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
    """Wait until the addresses that fail at the moment may be asked again; False when it's no use. Raises Stopped."""
    passing = [(where, refusal) for where, refusal in error.refusals if refusal.passing]
    if not passing:
        return False
    # What a mirror that is there asks for counts before a host that isn't reached.
    where, first = min(passing, key=lambda one: (one[1].kind != MIRROR, one[1].after))
    seconds = network.patience.pause(attempt, first.after)
    if not seconds:
        return False
    host = Address(where).host
    try:
        if not patience.wait(seconds, network.stop, lambda left: network.on_wait(f"{host} ({first}), {left:.0f} s")):
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
    counted: _Counted,
    accept: Callable[[Path, Address], Result],
) -> Result:
    """Ask each address once. What broke off at one of them is gone on with at the next. Raises NotThere."""
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


class _Counted:
    """Hands on how many bytes came, and can take them all back."""

    def __init__(self, on_bytes: Callable[[int], None]) -> None:
        self._on_bytes = on_bytes
        self._total = 0

    def add(self, count: int) -> None:
        self._total += count
        self._on_bytes(count)

    def forget(self) -> None:
        self._on_bytes(-self._total)
        self._total = 0


def _from_one(
    source: Address,
    part: Path,
    size: Optional[int],
    seconds: float,
    network: Network,
    counted: _Counted,
    accept: Callable[[Path, Address], Result],
    *,
    others: bool,
) -> Result:
    """Fill `part` from one address; go on as long as each try brings it further. Raises Refusal, Stopped, OSError.

    `others`: there are more addresses, so one that keeps silent is left at once.
    """
    deadline = time.monotonic() + seconds
    broken: Optional[Broken] = None
    for _ in range(TRIES):
        before = _size_of(part)
        try:
            _fill(source, part, size, deadline - time.monotonic(), network, counted)
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
            if left or error.final or _size_of(part) <= before or time.monotonic() > deadline:
                break
        counted.forget()
    if broken is None:
        raise Refusal("it has another file")
    if not (broken.slow or broken.hard):
        network.hosts.failed(source.host, str(broken))
    raise broken.as_refusal()


def _size_of(part: Path) -> int:
    try:
        return part.stat().st_size
    except FileNotFoundError:
        return 0


def fetch_small(source: Address, target: Path, *, most: int, network: Network) -> None:
    """Fetch a small file (a signature) of `most` bytes at the most. Raises Refusal (`target` is gone then), Stopped."""
    target.unlink(missing_ok=True)
    try:
        not_now = why_not_now(network.hosts, source.host)
        if not_now:
            raise not_now
        _fill(source, target, most, network.limits.head * 2, network, _Counted(lambda count: None))
    except Refusal:
        target.unlink(missing_ok=True)
        raise
    except Broken as error:
        target.unlink(missing_ok=True)
        network.hosts.failed(source.host, str(error), hard=error.hard)
        raise error.as_refusal() from None


def _fill(
    source: Address,
    part: Path,
    size: Optional[int],
    seconds: float,
    network: Network,
    counted: _Counted,
) -> None:
    """One try: `part` is the whole file afterwards. Raises Broken, Refusal, Stopped, OSError of this machine's disk."""
    most = network.limits.largest if size is None else size
    network.on_host(source.host, True)
    try:
        if source.own and source.url.startswith("file:"):
            _copy(source, part, most, network.stop, counted)
        elif source.own and network.transfer:
            network.transfer(source, part, most, seconds, network.stop)
            counted.add(_size_of(part))
        else:
            _download(source, part, most, seconds, network, counted)
    finally:
        network.on_host(source.host, False)


def _copy(source: Address, part: Path, most: int, stop: threading.Event, counted: _Counted) -> None:
    try:
        found, size = local_file.open_regular(source.url)
    except local_file.NotUsable as error:
        raise Refusal(str(error), kind=MIRROR if error.fails else GONE, passing=error.fails) from None
    with found, _private(part, 0) as file:
        if size > most:
            raise Refusal("it is larger than declared")
        _write(iter(lambda: found.read(CHUNK), b""), file, part.parent, 0, most, stop, counted)


@contextlib.contextmanager
def _private(part: Path, start: int) -> Iterator[Any]:
    """The part, open for writing from `start` on, for nobody else to read."""
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.truncate(start)
        file.seek(start)
        yield file


def _write(
    blocks: Iterator[bytes],
    file: Any,
    directory: Path,
    have: int,
    most: int,
    stop: threading.Event,
    counted: _Counted,
) -> int:
    looked = have - BETWEEN
    for block in blocks:
        if stop.is_set():
            raise Stopped
        have += len(block)
        if have > most:
            raise Refusal("it sends more than declared")
        if have - looked >= BETWEEN:
            looked = have
            if not space.for_downloads(directory):
                raise space.Full(directory)
        file.write(block)
        counted.add(len(block))
    return have


def _download(source: Address, part: Path, most: int, seconds: float, network: Network, counted: _Counted) -> None:
    limits = network.limits
    with Guard(head=limits.head, total=max(1, seconds), rate=limits.rate, window=limits.window) as guard:
        try:
            answer, start = mirror_http.open_file(source, _size_of(part), guard, network)
        except bounded_http.ERRORS as error:
            raise _broken(error, guard) from None
        guard.begin_body()
        with contextlib.closing(answer), _private(part, start) as file:
            counted.add(start)
            length = answer.length  # what is still to come, as the answer says; None: it doesn't say
            if length is not None and start + length > most:
                raise Refusal("it is larger than declared")
            have = _write(_blocks(answer, guard), file, part.parent, start, most, network.stop, counted)
        if length is not None and have < start + length:
            raise Broken("the connection broke off")


def _broken(error: BaseException, guard: Guard) -> Broken:
    reached_nothing = bool(guard.reason) or bounded_http.is_network(error)
    return Broken(
        bounded_http.reason_of(error, guard),
        final=bool(guard.reason),
        kind=NETWORK if reached_nothing else MIRROR,
        passing=reached_nothing,
        slow=bool(guard.reason) or bounded_http.is_silence(error),
        hard=bounded_http.is_unknown_name(error),
    )


def _blocks(answer: Any, guard: Guard) -> Iterator[bytes]:
    """What comes, as it comes. Raises Broken."""
    while True:
        try:
            block = answer.read1(CHUNK)
        except bounded_http.ERRORS as error:
            raise _broken(error, guard) from None
        if guard.reason:
            raise Broken(guard.reason, final=True, slow=True)
        if not block:
            return
        guard.count(len(block))
        yield block
