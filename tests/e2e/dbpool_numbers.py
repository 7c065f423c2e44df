"""What a server says of its dbpool, and what PostgreSQL says of its backends. It must not know which are right."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.load import in_background
from tests.support.playground import Playground
from tests.support.postgres import Postgres, count_client_backends
from tests.support.wait import until


def database(url: str) -> str:
    return url.rsplit("/", 1)[1]


class Watch(threading.Thread):
    """Counts the backends of a database every few milliseconds; `most` is the highest number seen."""

    def __init__(self, postgres: Postgres, url: str) -> None:
        super().__init__(daemon=True)
        self.postgres, self.url, self.most, self.ended = postgres, url, 0, threading.Event()

    def run(self) -> None:
        with self.postgres.connect() as connection:
            while not self.ended.wait(0.02):
                self.most = max(self.most, count_client_backends(connection, self.url))


@contextmanager
def watched(postgres: Postgres, url: str) -> Iterator[Watch]:
    watch = Watch(postgres, url)
    watch.start()
    try:
        yield watch
    finally:
        watch.ended.set()
        watch.join(5)


def numbers(server: Playground) -> dict[str, int]:
    """The dbpool's numbers, summed over all workers."""
    workers = server.workers()
    samples = [worker["dbpool"] for worker in workers if worker["dbpool"]]
    return {name: sum(sample[name] for sample in samples) for name in samples[0]} if samples else {}


def fill(server: Playground, size: int) -> None:
    """Make the dbpool hold `size` idle connections."""
    asked = [in_background(server.port, "/query/500") for _ in range(size)]
    for pending in asked:
        pending.join(20)
        assert pending.status == 200
    until(lambda: numbers(server)["idle"] >= size)
