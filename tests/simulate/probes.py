"""Probes from a process of their own, where no simulated agent delays them: what an orchestrator would see."""

import contextlib
import http.client
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection

PATHS = ("/health/live", "/health/ready")
PAUSE, TIMEOUT = 0.2, 10.0  # seconds


class Probes:
    """What the probes have taken."""

    def __init__(self, seconds: Sequence[Connection]) -> None:
        self._seconds = seconds

    def take(self) -> list[float]:
        """The seconds of each probe since the last `take`, sorted. A probe without a 200 took TIMEOUT."""
        found = []
        for one in self._seconds:
            while one.poll():
                found.append(one.recv())
        return sorted(found)


@contextlib.contextmanager
def probing(ports: Sequence[int]) -> Iterator[Probes]:
    """Probe the servers on these ports until the block ends, each from a process."""
    with contextlib.ExitStack() as stack:
        yield Probes([stack.enter_context(_probing(port)) for port in ports])


@contextlib.contextmanager
def _probing(port: int) -> Iterator[Connection]:
    """Where the seconds of each probe come out."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_probe, args=(port, sender), daemon=True)
    process.start()
    sender.close()
    try:
        yield receiver
    finally:
        process.kill()
        process.join()
        receiver.close()


def _probe(port: int, seconds: Connection) -> None:
    while True:
        for path in PATHS:
            began = time.perf_counter()
            seconds.send(time.perf_counter() - began if _is_well(port, path) else TIMEOUT)
        time.sleep(PAUSE)


def _is_well(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
        connection.request("GET", path)
        return connection.getresponse().status == 200
    return False
