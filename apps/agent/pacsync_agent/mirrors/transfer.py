"""One try to get a file from one address into a private file, within its limits: bytes, silence, rate, total time.

It must not know other addresses or whether there is another try.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Optional

from ..http import bounded_http
from ..http.transfer_limits import Guard
from ..system import disk_space
from . import local_file, mirror_http
from .addresses import Address
from .network import GONE, MIRROR, NETWORK, Broken, Network, Refusal, Stopped

CHUNK = 1 << 18
BETWEEN = 16 << 20  # bytes between two checks of the room on the disk


class ByteCounter:
    """Passes on how many bytes came, and can take them all back."""

    def __init__(self, on_bytes: Callable[[int], None]) -> None:
        self._on_bytes = on_bytes
        self._total = 0

    def add(self, count: int) -> None:
        self._total += count
        self._on_bytes(count)

    def forget(self) -> None:
        self._on_bytes(-self._total)
        self._total = 0


def size_of(part: Path) -> int:
    try:
        return part.stat().st_size
    except FileNotFoundError:
        return 0


def transfer(
    source: Address,
    part: Path,
    size: Optional[int],
    seconds: float,
    network: Network,
    counted: ByteCounter,
) -> None:
    """One try: `part` is the whole file afterwards. Raises Broken, Refusal, Stopped, OSError of this machine's disk."""
    most = network.limits.largest if size is None else size
    network.on_host(source.host, True)
    try:
        if source.own and source.url.startswith("file:"):
            _copy(source, part, most, network.stop, counted)
        elif source.own and network.transfer:
            network.transfer(source, part, most, seconds, network.stop)
            counted.add(size_of(part))
        else:
            _download(source, part, most, seconds, network, counted)
    finally:
        network.on_host(source.host, False)


def _copy(source: Address, part: Path, most: int, stop: threading.Event, counted: ByteCounter) -> None:
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
    """The part, open for writing from `start` on, readable by its owner only."""
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
    counted: ByteCounter,
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
            if not disk_space.for_downloads(directory):
                raise disk_space.Full(directory)
        file.write(block)
        counted.add(len(block))
    return have


def _download(source: Address, part: Path, most: int, seconds: float, network: Network, counted: ByteCounter) -> None:
    limits = network.limits
    with Guard(head=limits.head, total=max(1, seconds), rate=limits.rate, window=limits.window) as guard:
        try:
            answer, start = mirror_http.open_file(source, size_of(part), guard, network)
        except bounded_http.ERRORS as error:
            raise _broken(error, guard) from None
        guard.begin_body()
        with contextlib.closing(answer), _private(part, start) as file:
            counted.add(start)
            length = answer.length  # bytes still to come by the answer's header; None if unknown
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
    """The blocks as they come. Raises Broken."""
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
