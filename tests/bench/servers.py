"""The peers as running servers. It must not know what is measured."""

import contextlib
from collections.abc import Iterator

from tests.support.server import Server


class Bare(Server):
    """The bare function under the very gunicorn configuration that PacSync has: hooks, logger and all."""

    module = "tests.bench.peers"

    def __init__(self, database_url: str, **env: object) -> None:
        super().__init__(database_url, **{**env, "ENVIRONMENT": "test"})  # elsewhere no other application is served

    def _command(self) -> list[str]:
        return [part.replace("pacsync.wsgi:", f"{self.module}:") for part in super()._command()]


class InAThread(Bare):
    """PacSync, except that its threads answer probes instead of the main loop."""

    module = "tests.bench.in_a_thread"


class Peer(Server):
    """One of tests/bench/peers.py under plain gunicorn; `options` are gunicorn's."""

    def __init__(self, database_url: str, name: str, *options: str, workers: int = 1, **env: object) -> None:
        super().__init__(database_url, PEER=name, WEB_CONCURRENCY=workers, **env)
        self.options = options

    def _command(self) -> list[str]:
        gunicorn = ["-m", "gunicorn", "tests.bench.peers:application", "--worker-class=gthread"]
        plain = ["--threads=8", "--keep-alive=65", "--no-control-socket", "--log-level=error"]
        # gunicorn reads the number of workers from WEB_CONCURRENCY.
        return [*gunicorn, *plain, f"--bind=127.0.0.1:{self.port}", *self.options]


@contextlib.contextmanager
def running_peer(database_url: str, name: str, *options: str, workers: int = 1, **env: object) -> Iterator[Peer]:
    """A started peer, killed at the end."""
    with Peer(database_url, name, *options, workers=workers, **env).started() as peer:
        yield peer
