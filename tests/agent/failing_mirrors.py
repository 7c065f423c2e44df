"""Mirrors that fail for a moment, and a network that asks them."""

import dataclasses
import threading
from pathlib import Path

from apps.agent.pacsync_agent.mirrors import download
from apps.agent.pacsync_agent.mirrors.addresses import Address
from apps.agent.pacsync_agent.mirrors.network import Limits, Network, Refusal
from apps.agent.pacsync_agent.mirrors.retry_schedule import Patience
from tests.support.hostile import Behaviour, Peer

QUICK = Limits(silence=1, head=3, rate=1000, window=1, base=60, largest=1 << 20)
CONTENT = b"package" * 20_000


def turns(*answers: Behaviour) -> Behaviour:
    """Each in its turn, and the last one for ever."""
    left = list(answers)
    return lambda peer: (left.pop(0) if len(left) > 1 else left[0])(peer)


def says(status: str, **headers: str) -> Behaviour:
    return lambda peer: peer.answer(status=status, **headers)


def whole(peer: Peer) -> None:
    peer.answer(CONTENT)


def stalls(peer: Peer) -> None:
    """A little more of the file each time, then nothing."""
    offset = int(peer.headers.get("range", "bytes=0-")[6:-1])
    head = {"Content_Range": f"bytes {offset}-{len(CONTENT) - 1}/{len(CONTENT)}"} if offset else {}
    status = "206 Partial Content" if offset else "200 OK"
    peer.answer(CONTENT[offset : offset + 500], status=status, length=len(CONTENT) - offset, **head)
    peer.silence()


def get(network: Network, part: Path, *servers: str) -> bytes:
    def accept(path: Path, source: Address) -> bytes:
        if path.read_bytes() != CONTENT:
            raise Refusal("it is another file")
        return path.read_bytes()

    addresses = [Address(f"{url}/core/tool.pkg.tar.zst", own=True) for url in servers]
    return download.fetch(
        addresses, part, size=len(CONTENT), network=network, on_bytes=lambda count: None, accept=accept
    )


def network(seconds: float, **options: object) -> Network:
    return dataclasses.replace(Network(threading.Event(), limits=QUICK, patience=Patience(seconds)), **options)
